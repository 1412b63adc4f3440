//! DEL, CHECK, GC and STATUS open no connection, whatever is configured.

use std::fs;

use serde_json::json;

use crate::cleanup::{ALL, used_node};
use crate::node::manifold;

// Proves: F-API-9
#[test]
fn only_add_ever_connects() {
    let node = used_node("quiet");
    let sandbox = node.sandbox("cart", ALL);
    let unknown = node.sandbox("unknown", "");
    let log = node.folder("connects");
    let traced = node.script(&format!(
        "exec strace -f -qq -A -e trace=connect -e signal=none -o {} {}",
        log.display(),
        manifold().display()
    ));
    let runtime = node.runtime_of(&traced);
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let internet = || {
        let calls = fs::read_to_string(&log).unwrap();
        calls.lines().filter(|line| line.contains("AF_INET")).count()
    };
    assert!(internet() > 0, "the trace sees connections: {}", fs::read_to_string(&log).unwrap());
    let after_add = (internet(), node.forward.as_ref().unwrap().connections());
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.status().unwrap().must_succeed();
    runtime.gc(&[(&sandbox.pod.container_id, "eth0")]).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&unknown.pod).unwrap().must_succeed();
    runtime.gc(&[]).unwrap().must_succeed();
    assert_eq!((internet(), node.forward.as_ref().unwrap().connections()), after_add);
    assert_eq!(json!(node.ledger()), json!([]));
}
