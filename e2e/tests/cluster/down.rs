//! The API server is away while a pod is taken down.

use std::fs;

use manifold_e2e::cluster::POD;
use serde_json::json;

use crate::bed::{Space, ledger};
use crate::multus::sandbox;

#[test]
fn a_pod_is_taken_down_while_the_api_server_is_away() {
    let space = Space::new("apidown");
    space.macvlan("green", 62);
    let node = &space.cluster.nodes()[0];
    // Its process ignores the first signal, as every first one of a namespace does that has no handler. So it ends when the
    // test says, and the kubelet goes on to its networks then.
    let folder = format!("/run/{}", space.name);
    let container = json!([{"name": "main", "image": POD, "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", "until [ -e /bed/end ]; do sleep 1; done"],
        "volumeMounts": [{"name": "bed", "mountPath": "/bed"}]}]);
    space.pod_with(
        "last",
        &space.network("green"),
        &json!({"nodeName": node.name(), "terminationGracePeriodSeconds": 90, "containers": container,
            "volumes": [{"name": "bed", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}]}),
    );
    space.wait_ready("last");
    let own = sandbox(node, &space, "last");
    assert_eq!((space.leases(node, "green").len(), ledger(node).contains(&own)), (1, true));

    space.ask_to_delete("last");
    // The kubelet has heard of it.
    space.wait_event("last", "Killing");
    space.cluster.control_plane().daemon("kube-apiserver").kill().unwrap();
    assert!(ledger(node).contains(&own), "nothing was taken down before");
    node.write(&format!("{folder}/end"), "").unwrap();
    let taken_down = space.cluster.wait("the pod's networks to be gone", || {
        Ok((space.leases(node, "green").is_empty() && !ledger(node).contains(&own)).then_some(()))
    });
    space.cluster.control_plane().start().unwrap();
    taken_down.unwrap();
    space.wait_gone("last");
    fs::remove_dir_all(node.path(&folder)).unwrap();
    space.cluster.wait_installed().unwrap();
}
