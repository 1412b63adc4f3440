//! What pods of a real cluster ask for now and then.

use manifold_e2e::cluster::POD;
use serde_json::json;

use crate::bed::{Space, text};

#[test]
fn a_pod_gets_sixteen_networks_in_the_order_in_which_it_asks() {
    let space = Space::new("sixteen");
    let node = &space.cluster.nodes()[1];
    let mut asked = Vec::new();
    for number in 0..16 {
        let name = format!("n{number}");
        space.definition(
            &name,
            &json!({"cniVersion": "1.0.0", "name": space.network(&name), "type": "macvlan", "master": "eth0",
                    "ipam": {"type": "host-local", "subnet": format!("10.70.{number}.0/24")}}),
        );
        asked.push(name);
    }
    space.pod("many", node, &asked.join(","));
    space.wait_ready("many");
    let status = space.status("many");
    let told: Vec<(String, String)> = status
        .iter()
        .skip(1)
        .map(|s| (text(s, "/name").to_owned(), text(s, "/interface").to_owned()))
        .collect();
    let expected: Vec<(String, String)> =
        (0..16).map(|n| (format!("{}/n{n}", space.name), format!("net{}", n + 1))).collect();
    assert_eq!(told, expected);
    let said = space.exec("many", &["ip", "-4", "-o", "address"]);
    assert_eq!(said.lines().filter(|line| line.contains(" 10.70.")).count(), 16, "{said}");
    space.delete("many");
    for number in 0..16 {
        assert_eq!(space.leases(node, &format!("n{number}")), Vec::<String>::new());
    }
}

#[test]
fn a_port_of_the_host_leads_to_the_pod_from_another_node_and_is_free_again_after_it() {
    let space = Space::new("hostport");
    let nodes = space.cluster.nodes();
    let container = json!([{"name": "main", "image": POD, "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp"],
        "ports": [{"containerPort": 80, "hostPort": 18080}, {"containerPort": 81}]}]);
    space.pod("from", &nodes[1], "");
    space.wait_ready("from");
    let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {} 18080 | tail -1", nodes[0].address());
    for server in ["first", "second"] {
        space.pod_with(server, "", &json!({"nodeName": nodes[0].name(), "containers": container.clone()}));
        space.wait_ready(server);
        let answer = || Ok((space.exec("from", &["sh", "-c", &ask]).trim() == server).then_some(()));
        space.cluster.wait("the pod to answer by the host's port", answer).unwrap();
        space.delete(server);
    }
    let silent = space.exec("from", &["sh", "-c", &ask]);
    assert_eq!(silent.trim(), "", "nobody answers any more");
}

#[test]
fn a_pod_on_the_hosts_network_is_left_alone() {
    let space = Space::new("hostnet");
    let node = &space.cluster.nodes()[0];
    space.pod_with("host", "", &json!({"nodeName": node.name(), "hostNetwork": true}));
    let pod = space.wait_ready("host");
    assert_eq!(text(&pod, "/status/podIP"), node.address());
    assert_eq!(crate::bed::annotation(&pod, crate::bed::STATUS), None);
    space.delete("host");
}

#[test]
fn a_pod_whose_network_does_not_exist_does_not_start_and_its_event_says_which() {
    let space = Space::new("missing");
    space.pod("lost", &space.cluster.nodes()[0], "nowhere");
    let words = ["get", "events", "--namespace", &space.name, "-o", "jsonpath={.items[*].message}"];
    let said = space.cluster.wait("an event", || {
        let said = space.cluster.kubectl(&words)?;
        Ok(said.contains("nowhere").then_some(said))
    });
    let said = said.unwrap();
    assert!(said.contains(&format!("{}/nowhere", space.name)), "{said}");
    space.delete("lost");
}
