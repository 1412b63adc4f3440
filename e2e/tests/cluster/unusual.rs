//! Pods that no controller made: static ones, which the kubelet reads from a file.

use std::fs;

use serde_json::json;

use crate::bed::{NETWORKS, Space, cluster, is_ready, leases, pod_spec, text};

#[test]
fn a_static_pod_gets_its_networks_and_gives_them_back() {
    let space = Space::new("static");
    space.macvlan("green", 65);
    let node = &cluster().nodes()[1];
    let mut spec = pod_spec("exec sleep 1000000");
    spec.as_object_mut().unwrap().insert("automountServiceAccountToken".into(), false.into());
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "fixed", "namespace": space.name, "annotations": {NETWORKS: space.network("green")}},
        "spec": spec});
    let file = "/var/lib/kubelet/manifests/fixed.json";
    node.write(file, &pod.to_string()).unwrap();
    let name = format!("fixed-{}", node.name());
    let path = space.path(&format!("pods/{name}"));
    let ready =
        space.cluster.wait("the static pod to be ready", || Ok(space.cluster.get(&path)?.filter(is_ready)));
    let inside =
        ready.is_ok().then(|| space.exec(&name, &["ip", "-4", "-o", "address", "show", "dev", "net1"]));
    fs::remove_file(node.path(file)).unwrap();
    let pod = ready.unwrap();
    assert!(inside.unwrap().contains("10.65."), "it has its network");
    assert!(text(&pod, "/status/podIP").starts_with("10.244."));
    space
        .cluster
        .wait("the leases to be back", || Ok(leases(node, &space.network("green")).is_empty().then_some(())))
        .unwrap();
}
