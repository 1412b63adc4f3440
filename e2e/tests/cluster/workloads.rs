//! A Deployment and a StatefulSet with three networks each, over both nodes.

use serde_json::{Value, json};

use crate::bed::{Space, is_ready, pod_spec, text};

/// What each pod answers on every address: its own name.
const SERVE: &str = "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp";

/// Two pods on two nodes.
fn workload(space: &Space, kind: &str, name: &str) {
    let mut spec = pod_spec(SERVE);
    let spread = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": name}}}]}});
    spec.as_object_mut().unwrap().insert("affinity".into(), spread);
    let networks = format!("{},{}@mac0", space.network("wire"), space.network("green"));
    let object = json!({"apiVersion": "apps/v1", "kind": kind,
    "metadata": {"name": name, "namespace": space.name},
    "spec": {"replicas": 2, "serviceName": "web", "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name, "all": "yes"}, "annotations": {crate::bed::NETWORKS: networks}},
            "spec": spec,
        }}});
    let mut object = object;
    if kind == "Deployment" {
        object.pointer_mut("/spec").and_then(Value::as_object_mut).unwrap().remove("serviceName");
    }
    space.cluster.apply(&object.to_string()).unwrap();
}

/// All pods, when all are ready.
fn pods(space: &Space, count: usize) -> Vec<Value> {
    space
        .cluster
        .wait(&format!("{count} pods to be ready"), || {
            let pods = space.cluster.list(&space.path("pods"))?;
            Ok((pods.len() == count && pods.iter().all(is_ready)).then_some(pods))
        })
        .unwrap()
}

/// What the pod itself says of an interface: its first IPv4 address, and its MAC.
fn of_interface(space: &Space, pod: &str, interface: &str) -> (String, String) {
    let script = format!(
        "ip -4 -o address show dev {interface} | head -1 | sed 's#.*inet \\([0-9.]*\\)/.*#\\1#'; \
         ip -o link show dev {interface} | sed 's#.*link/ether \\([0-9a-f:]*\\) .*#\\1#'"
    );
    let said = space.exec(pod, &["sh", "-c", &script]);
    let mut lines = said.lines();
    (lines.next().unwrap_or_default().to_owned(), lines.next().unwrap_or_default().to_owned())
}

/// Pings every address, then asks the server behind it for its name; says what is wrong.
fn reach_all(space: &Space, from: &str, targets: &[(String, String)]) {
    let mut script = String::from("set -u\n");
    for (address, name) in targets {
        script.push_str(&format!(
            "ping -c 1 -W 5 {address} >/dev/null || echo no ping to {address}\n\
             said=$(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80 | tail -1)\n\
             [ \"$said\" = {name} ] || echo \"{address} says '$said' and not {name}\"\n"
        ));
    }
    // The first packet to a neighbour may be lost on a busy machine.
    let reached = || {
        let wrong = space.cluster.exec(&space.name, from, &["sh", "-c", &script])?;
        anyhow::ensure!(wrong.is_empty(), "{wrong}");
        Ok(Some(()))
    };
    space.cluster.wait(&format!("`{from}` to reach everybody"), reached).unwrap();
}

#[test]
fn every_network_carries_ping_and_tcp_over_both_nodes_and_the_status_is_right() {
    let space = Space::new("workloads");
    space.bridge("wire", 50);
    space.macvlan("green", 60);
    workload(&space, "Deployment", "web");
    workload(&space, "StatefulSet", "db");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": space.name},
        "spec": {"selector": {"all": "yes"}, "ports": [{"port": 80}]}});
    space.cluster.apply(&service.to_string()).unwrap();
    let pods = pods(&space, 4);
    let names: Vec<&str> = pods.iter().map(|pod| text(pod, "/metadata/name")).collect();
    let nodes: std::collections::BTreeSet<&str> =
        pods.iter().map(|pod| text(pod, "/spec/nodeName")).collect();
    assert_eq!(nodes.len(), 2, "both nodes take part");

    let mut targets = Vec::new();
    for pod in &pods {
        let name = text(pod, "/metadata/name");
        let status = space.status(name);
        let told: Vec<(&str, &str, bool)> = status
            .iter()
            .map(|s| (text(s, "/name"), text(s, "/interface"), s.get("default") == Some(&Value::Bool(true))))
            .collect();
        let [wire, green] = ["wire", "green"].map(|n| format!("{}/{}", space.name, space.network(n)));
        assert_eq!(
            told.iter().map(|t| (t.1, t.2)).collect::<Vec<_>>(),
            [("eth0", true), ("net1", false), ("mac0", false)]
        );
        assert_eq!((told[1].0, told[2].0), (wire.as_str(), green.as_str()));
        for entry in &status {
            let address = text(entry, "/ips/0").to_owned();
            let (real, mac) = of_interface(&space, name, text(entry, "/interface"));
            assert_eq!((address.as_str(), text(entry, "/mac")), (real.as_str(), mac.as_str()), "{entry}");
            targets.push((address, name.to_owned()));
        }
        assert_eq!(
            text(pod, "/status/podIP"),
            text(&status[0], "/ips/0"),
            "the kubelet heard the default network"
        );
    }
    for from in &names {
        reach_all(&space, from, &targets);
    }
    serves_everybody(&space, &names);
}

/// The Service's address leads to each of its pods, from each of them.
fn serves_everybody(space: &Space, names: &[&str]) {
    let service = space.cluster.get(&space.path("services/web")).unwrap().unwrap();
    let address = text(&service, "/spec/clusterIP");
    let script = format!(
        "for i in $(seq 24); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80 | tail -1; done"
    );
    for from in names {
        space
            .cluster
            .wait(&format!("every pod to answer `{from}` by the Service"), || {
                let said = space.cluster.exec(&space.name, from, &["sh", "-c", &script])?;
                Ok(names.iter().all(|name| said.lines().any(|line| line == *name)).then_some(()))
            })
            .unwrap();
    }
}
