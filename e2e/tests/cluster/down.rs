//! The API server is away while a pod is taken down.

use crate::bed::{Space, ledger};

#[test]
fn a_pod_is_taken_down_while_the_api_server_is_away() {
    let space = Space::new("apidown");
    space.macvlan("green", 62);
    let node = &space.cluster.nodes()[0];
    // The shell ignores the first signal, so the kubelet is told while the server is there, and acts when it is not.
    space.pod_with(
        "last",
        &space.network("green"),
        &serde_json::json!({"nodeName": node.name(), "terminationGracePeriodSeconds": 8}),
    );
    space.wait_ready("last");
    let before = ledger(node).len();
    assert_eq!(space.leases(node, "green").len(), 1);

    space.ask_to_delete("last");
    space.cluster.control_plane().daemon("kube-apiserver").kill().unwrap();
    let taken_down = space.cluster.wait("the pod's networks to be gone", || {
        Ok((space.leases(node, "green").is_empty() && ledger(node).len() < before).then_some(()))
    });
    space.cluster.control_plane().start().unwrap();
    taken_down.unwrap();
    space.cluster.wait("the pod to be gone", || Ok(space.get("last").is_none().then_some(()))).unwrap();
    space.cluster.wait_ready().unwrap();
}
