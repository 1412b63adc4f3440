//! Pods that no controller made: static ones, which the kubelet reads from a file.

use std::fs;

use manifold_e2e::cluster::Node;
use serde_json::json;

use crate::bed::{NETWORKS, Space, cluster, leases, pod_spec, text};

const FILE: &str = "/var/lib/kubelet/manifests/fixed.json";

/// On a node, until this is dropped.
struct Static(&'static Node);

impl Drop for Static {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0.path(FILE));
    }
}

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
    let fixed = Static(node);
    node.write(FILE, &pod.to_string()).unwrap();
    let name = format!("fixed-{}", node.name());
    let pod = space.wait_ready(&name);
    let inside = space.exec(&name, &["ip", "-4", "-o", "address", "show", "dev", "net1"]);
    assert!(inside.contains("10.65."), "it has its network");
    assert!(text(&pod, "/status/podIP").starts_with("10.244."));
    drop(fixed);
    space
        .cluster
        .wait("the leases to be back", || Ok(leases(node, &space.network("green")).is_empty().then_some(())))
        .unwrap();
}
