//! What pods of a real cluster ask for now and then.

use manifold_e2e::cluster::POD;
use serde_json::json;

use crate::bed::{Space, pod_spec, text};

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

// Proves: MLT-DLG-9
#[test]
fn a_pod_whose_network_does_not_exist_does_not_start_and_its_event_says_which() {
    let space = Space::new("missing");
    space.pod("lost", &space.cluster.nodes()[0], "nowhere");
    let told = space.wait_event("lost", "NetworksNotAttached");
    assert_eq!(text(&told, "/type"), "Warning");
    let said = text(&told, "/message");
    assert!(said.contains(&format!("{}/nowhere", space.name)), "{said}");
    space.delete("lost");
}

// Proves: MLT-EXE-12
#[test]
fn an_event_of_a_pod_tells_its_interfaces_networks_and_addresses() {
    let space = Space::new("told");
    space.macvlan("green", 73);
    space.pod("two", &space.cluster.nodes()[0], &space.network("green"));
    space.wait_ready("two");
    let told = space.wait_event("two", "NetworksAttached");
    assert_eq!(text(&told, "/type"), "Normal");
    for entry in space.status("two") {
        let [interface, network, address] = ["/interface", "/name", "/ips/0"].map(|key| text(&entry, key));
        for word in [interface, network, address] {
            assert!(text(&told, "/message").contains(word), "no `{word}` in {told}");
        }
    }
    space.delete("two");
}

// Proves: NPWG-4.1.2.1.7-2
#[test]
fn a_port_of_the_nodes_address_on_a_further_network_leads_to_the_pod() {
    let space = Space::new("ports");
    let node = &space.cluster.nodes()[0];
    space.definition(
        "wire",
        &json!({"cniVersion": "1.0.0", "name": space.network("wire"), "plugins": [
            {"type": "bridge", "bridge": "ports0", "isGateway": true,
             "ipam": {"type": "host-local", "subnet": "10.74.0.0/24"}},
            {"type": "portmap", "capabilities": {"portMappings": true}}]}),
    );
    let asked = json!([{"name": "wire", "portMappings": [{"hostPort": 8074, "containerPort": 80, "protocol": "tcp"}]}]);
    let mut pod = pod_spec("hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp");
    pod.as_object_mut().unwrap().insert("nodeName".into(), node.name().into());
    space.pod_with("web", &asked.to_string(), &pod);
    space.wait_ready("web");
    let ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 10.74.0.1 8074 | tail -1";
    let answers = || Ok((node.exec(&["sh", "-c", ask])?.trim() == "web").then_some(()));
    space.cluster.wait("the pod to answer on the node's port", answers).unwrap();
    space.delete("web");
    let rules = node.exec(&["sh", "-c", "nft list ruleset; iptables-save 2>/dev/null || true"]).unwrap();
    assert!(!rules.contains("dport 8074"), "the mapping is gone: {rules}");
    node.exec(&["ip", "link", "delete", "ports0"]).unwrap();
}
