//! Plugins of the node between bundled ones of one chain: what came before reaches them in the version that the
//! configuration names, what they answer reaches those after them, and what they complain of reaches the runtime.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::kernel;
use crate::networks::With;
use crate::node::Node;

/// The node's `tuning` under a name that no bundled plugin has, with what it is asked kept beside it.
fn install_stranger(node: &Node<'_>) {
    let real = Path::new("/usr/lib/cni/tuning");
    assert!(real.is_file(), "the plugins of the node are missing: `{}`", real.display());
    let said = node.folder("stranger.stdin");
    let script = format!("#!/bin/sh\ntee {0}.$CNI_COMMAND | exec {1}\n", said.display(), real.display());
    crate::wrapper::write(&node.folder("bin/stranger"), &script);
}

fn said(node: &Node<'_>, verb: &str) -> Value {
    let text = fs::read_to_string(node.folder(&format!("stranger.stdin.{verb}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn define(node: &Node<'_>, version: &str, stranger: &Value) {
    let stranger =
        stranger.clone().with("type", json!("stranger")).with("dataDir", json!(node.folder("strange")));
    // After it, a bundled one that acts on what it made of the interface.
    let ours = json!({"type": "tuning", "mtu": 1300, "dataDir": node.folder("tuning")});
    let chain = [node.bridge("mf-chain", &["10.52.0.0/24"]), stranger, ours];
    node.define("chained", &json!({"cniVersion": version, "plugins": chain}));
}

// Proves: CNI-CNV-6
#[test]
fn a_stranger_in_a_chain_gets_and_gives_results_in_the_version_of_the_configuration() {
    for (version, family) in [("0.3.1", Some("4")), ("0.4.0", Some("4")), ("1.0.0", None)] {
        let node = Node::new("stranger");
        install_stranger(&node);
        define(&node, version, &json!({"mac": "02:00:00:00:00:42"}));
        let sandbox = node.sandbox("cart", "chained@data0");
        let runtime = node.runtime();
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        let previous = &said(&node, "ADD")["prevResult"];
        assert_eq!(previous["cniVersion"], version, "{previous}");
        assert_eq!(previous["ips"][0].get("version").and_then(Value::as_str), family, "{previous}");
        assert_eq!(previous["interfaces"][2]["name"], "data0", "{previous}");
        // Its change is in the end result, and so is that of the one after it.
        assert_eq!(kernel::mac(&sandbox.netns, "data0"), "02:00:00:00:00:42");
        assert_eq!(kernel::mtu(&sandbox.netns, "data0"), 1300);
        assert_eq!(node.status("cart").unwrap()[1]["mac"], "02:00:00:00:00:42");
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        // Before 0.4.0 a DEL has no result.
        assert_eq!(said(&node, "DEL").get("prevResult").is_some(), version != "0.3.1", "{version}");
        assert_eq!((sandbox.links(), node.leases("chained")), (vec![], vec![]));
    }
}

#[test]
fn a_complaint_of_a_stranger_in_a_chain_reaches_the_runtime_and_undoes_the_pod() {
    let node = Node::new("stranger");
    install_stranger(&node);
    define(&node, "1.0.0", &json!({"sysctl": {"net.ipv4.conf.no0.arp_notify": "1"}}));
    let sandbox = node.sandbox("cart", "chained@data0");
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(999);
    for part in ["plugin `stranger`", "network `chained`", "no0/arp_notify", "data0"] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    assert_eq!((sandbox.links(), node.leases("chained"), node.ledger()), (vec![], vec![], vec![]));
}
