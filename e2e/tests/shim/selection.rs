//! Which networks a pod has is decided once, by what its sandbox was made with.

use serde_json::json;

use crate::node::{NETWORKS, Node};

// Proves: S-6
#[test]
fn annotations_that_change_later_change_nothing() {
    let node = Node::new("selection");
    for name in ["first", "second"] {
        node.define(name, &node.bridge(&format!("mf-{name}"), &["10.51.0.0/24"]));
    }
    let sandbox = node.sandbox("cart", "first");
    let ask_for = |networks: &str| {
        let path = format!("/api/v1/namespaces/{}/pods/cart", node.ns.name());
        let change = json!({"metadata": {"annotations": {NETWORKS: networks}}});
        node.ns.api().client().send("PATCH", &path, &change).unwrap();
    };
    let runtime = node.runtime();
    // The runtime has the annotations with which it made the sandbox; the API server has others by now.
    ask_for("second,second");
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let names = || -> Vec<String> {
        let status = node.status("cart").unwrap();
        status.iter().map(|entry| entry["name"].as_str().unwrap().to_string()).collect()
    };
    let attached = ["cluster-wide-network", "first"].map(|name| format!("{}/{name}", node.ns.name()));
    assert_eq!((names(), sandbox.links()), (attached.to_vec(), vec!["eth0".to_string(), "net1".to_string()]));
    ask_for("second");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    // Even a runtime that hands over the changed ones.
    let edited = sandbox.pod.clone().annotated(NETWORKS, "second,second");
    runtime.check(&edited).unwrap().must_succeed();
    runtime.del(&edited).unwrap().must_succeed();
    assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
    assert_eq!((node.leases("first"), node.leases("second")), (vec![], vec![]));
}
