//! A plugin of somebody else's that runs another one by the name in its configuration, as flannel does: it may run our plugins,
//! and not what gives a pod all its networks.

use manifold_e2e::executable;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{Node, manifold};

/// Fills in what its own configuration says, looks the plugin up in CNI_PATH, and passes on its answer.
const META: &str = r#"#!/usr/bin/env python3
import json, os, subprocess, sys
conf = json.load(sys.stdin)
delegate = dict(conf["delegate"], name=conf["name"], cniVersion=conf["cniVersion"])
if "prevResult" in conf:
    delegate["prevResult"] = conf["prevResult"]
folders = os.environ["CNI_PATH"].split(":")
path = next(p for p in (f + "/" + delegate["type"] for f in folders) if os.path.exists(p))
sys.exit(subprocess.run([path], input=json.dumps(delegate).encode()).returncode)
"#;

fn node_with_meta(delegate: &Value) -> Node<'static> {
    let node = Node::new("meta");
    executable::install(&manifold(), &node.folder("bin"), &["bridge", "manifold"]).unwrap();
    crate::wrapper::write(&node.folder("bin/meta"), META);
    node.define("meshed", &json!({"cniVersion": "1.0.0", "type": "meta", "delegate": delegate}));
    node
}

// Proves: COMPAT-38
#[test]
fn a_meta_plugin_runs_our_plugin_under_its_name() {
    let any = Node::bare(manifold_e2e::api_server::ApiServer::shared().unwrap(), "meta-ipam");
    let bridge = any.bridge("mf-meta", &["10.53.0.0/24"]).with("isGateway", json!(true));
    let node = node_with_meta(&bridge);
    let sandbox = node.sandbox("cart", "meshed");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), ["eth0", "net1"]);
    assert_eq!(crate::kernel::addresses(&sandbox.netns, "net1"), any.leases("meshed"));
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!((sandbox.links(), any.leases("meshed"), node.ledger()), (vec![], vec![], vec![]));
}

// Proves: COMPAT-38
#[test]
fn a_meta_plugin_that_runs_manifold_itself_is_refused_and_leaves_nothing() {
    let node = node_with_meta(&json!({"type": "manifold", "multusNamespace": "elsewhere"}));
    let sandbox = node.sandbox("cart", "meshed");
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("a network's plugin called Manifold itself"), "{text}");
    assert!(text.contains("network `meshed`"), "{text}");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!((sandbox.links(), node.ledger()), (vec![], vec![]));
}
