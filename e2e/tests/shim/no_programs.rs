//! The bundled plugins start a program only to change rules: whether there are any to remove, the kernel says itself.

use std::fs;

use serde_json::json;

use crate::networks::With;
use crate::node::{Node, manifold};

/// The node's default network with mappings of ports behind it, as most clusters have it, and a masquerading one.
fn node() -> Node<'static> {
    let node = Node::new("lean");
    let bridge = node.default_network();
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let network = json!({"cniVersion": "1.1.0", "name": "chain", "plugins": [bridge, portmap]});
    fs::write(node.folder("conf/10-chain.conflist"), network.to_string()).unwrap();
    node.define("link", &node.ptp(&["10.70.0.0/24", "fd00:70::/64"]));
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]).with("name", json!("storage")));
    node
}

#[test]
fn nothing_is_executed_for_a_pod_without_mapped_ports_and_once_each_way_for_a_masqueraded_one() {
    let mut node = node();
    node.entry.insert("clusterNetwork".into(), "chain".into());
    let log = node.folder("programs");
    let traced = node.script(&format!(
        "exec strace -f -qq -A -e trace=execve -e signal=none -o {} {}",
        log.display(),
        manifold().display()
    ));
    let own = format!("execve(\"{}\"", manifold().display());
    let programs = || {
        let calls = fs::read_to_string(&log).unwrap();
        fs::write(&log, "").unwrap();
        assert!(calls.contains(&own), "the trace sees the plugin's own start: {calls}");
        let others = calls.lines().filter(|line| line.contains("execve(") && !line.contains(&own));
        others.map(str::to_owned).collect::<Vec<_>>()
    };
    for (networks, expected) in [("storage", [0, 0, 0]), ("storage,link", [1, 1, 0])] {
        let sandbox = node.sandbox(&networks.replace(',', "-"), networks);
        let runtime = node.runtime_of(&traced);
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        let add = programs();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        let del = programs();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        let again = programs();
        let all = [&add, &del, &again];
        assert_eq!(all.map(Vec::len), expected, "{networks}: {all:?}");
    }
}
