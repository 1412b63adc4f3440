//! A DEL in which a delegate fails: the others run, the entry keeps what is left, and after long enough the pod may go.

use serde_json::{Value, json};

use crate::failing_add::killed_after;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// A node with networks `fine` and `stuck`, whose DEL fails as `del` says.
fn node_with_stuck(prefix: &str, del: impl FnOnce(&Node<'_>) -> Value) -> Node<'static> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    node.define("bridge", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node.define("macvlan", &node.macvlan(&["10.60.0.0/24"]));
    node.define("stuck", &node.fake(&json!({"ADD": {"work": true}, "DEL": del(&node)})));
    let warm = node.sandbox("warm", "bridge,macvlan");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    node
}

fn fails_once(node: &Node<'_>) -> Value {
    json!({"behave": "fail", "msg": "not today", "code": 144, "times": 1, "counter": node.folder("counter")})
}

fn fails_always(_: &Node<'_>) -> Value {
    json!({"behave": "fail", "msg": "never", "code": 144})
}

// Proves: F-PLG-7, P-DEL-3, NPWG-7.2-4, NPWG-7.2-5, MLT-DEL-3, MLT-DEP-12, MLT-DEL-6
#[test]
fn whichever_fails_the_others_are_taken_down_and_the_next_del_does_the_rest() {
    for k in 1..=3 {
        let node = node_with_stuck("once", fails_once);
        let mut networks = vec!["bridge", "macvlan"];
        networks.insert(k - 1, "stuck");
        let sandbox = node.sandbox("cart", &networks.join(","));
        let oracle = node.oracle(&[&sandbox.netns]);
        let before = oracle.snapshot().unwrap();
        let runtime = node.runtime();
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        let text = runtime.del(&sandbox.pod).unwrap().must_fail_with(144);
        assert!(
            text.contains("not today") && text.contains(&format!("/stuck`, interface `net{k}`")),
            "{text}"
        );
        assert_eq!(sandbox.links(), [format!("net{k}")], "only what failed is left");
        assert_eq!(node.leases("storage"), Vec::<String>::new());
        assert!(node.ledger().contains(&sandbox.pod.container_id), "{:?}", node.ledger());
        // The fake's second DEL succeeds without a look at the link, which is the fake's to remove.
        sandbox.netns.exec(&["ip", "link", "del", &format!("net{k}")]).unwrap();
        let calls = node.trace().len();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(node.trace().len(), calls + 1, "only what was left is asked again");
        node.assert_clean(&oracle, &before);
    }
}

// Proves: F-PLG-7, MLT-DEL-2
#[test]
fn all_errors_of_one_del_are_told() {
    let node = node_with_stuck("several", fails_always);
    node.define("also", &node.fake(&json!({"DEL": {"behave": "exit", "exit": 9}})));
    let sandbox = node.sandbox("cart", "stuck,bridge,also");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let outcome = node.runtime().del(&sandbox.pod).unwrap();
    let text = outcome.error_text();
    assert!(!outcome.succeeded());
    for part in ["never", "exit code 9", "/stuck`", "/also`", "interface `net1`", "interface `net3`"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(sandbox.links(), ["net1"], "net3 was never made, and the rest is gone");
}

// Proves: F-PLG-7, P-DEL-6
#[test]
fn a_del_that_fails_for_ever_lets_the_pod_go_after_ten_minutes_and_keeps_the_entry() {
    let node = node_with_stuck("parked", fails_always);
    let sandbox = node.sandbox("cart", "stuck,bridge");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    for _ in 0..4 {
        // However often, ten minutes have not passed.
        runtime.del(&sandbox.pod).unwrap().must_fail_with(144);
    }
    let later = node.runtime_of(&node.later(700));
    later.del(&sandbox.pod).unwrap().must_succeed();
    assert!(
        node.ledger().contains(&sandbox.pod.container_id),
        "what is left is not forgotten: {:?}",
        node.ledger()
    );
    let spool = std::fs::read_to_string(node.folder("state/.spool/outcomes")).unwrap();
    let last: Value = serde_json::from_str(spool.lines().last().unwrap()).unwrap();
    assert_eq!((&last["outcome"], &last["code"]), (&json!("parked"), &json!(144)), "{last}");
}

// Proves: F-PLG-1, F-PLG-3
#[test]
fn when_the_undo_fails_too_both_errors_are_told_and_del_goes_on_from_there() {
    let node = node_with_stuck("undo", fails_once);
    node.define(
        "fails",
        &node.fake(&json!({"ADD": {"behave": "fail", "code": 11, "msg": "come back later"}})),
    );
    let sandbox = node.sandbox("cart", "bridge,stuck,fails");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    // Not 11: that would promise that nothing is left.
    let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(100);
    for part in ["come back later", "not today", "the undo is not complete; DEL will continue"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(node.ledger().contains(&sandbox.pod.container_id));
    assert_eq!(node.leases("storage"), Vec::<String>::new(), "the others are undone");
    sandbox.netns.exec(&["ip", "link", "del", "net2"]).unwrap();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

// Proves: F-PLG-5
#[test]
fn a_plugin_that_vanished_before_del_is_an_error_until_it_is_back() {
    let node = node_with_stuck("vanished", |_| json!({"work": true}));
    let sandbox = node.sandbox("cart", "bridge,stuck,macvlan");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let (here, away) = (node.folder("bin/fake"), node.folder("fake-away"));
    std::fs::rename(&here, &away).unwrap();
    let outcome = runtime.del(&sandbox.pod).unwrap();
    assert!(!outcome.succeeded() && outcome.error_text().contains("plugin `fake`"), "{outcome}");
    assert!(outcome.error_text().contains(&here.display().to_string()), "{outcome}");
    assert_eq!(sandbox.links(), ["net2"], "the others are taken down");
    std::fs::rename(&away, &here).unwrap();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

fn left_after(node: &Node<'_>, sandbox: &Sandbox) -> bool {
    node.ledger().contains(&sandbox.pod.container_id)
}

// Proves: F-PLG-7
#[test]
fn a_del_that_hangs_is_killed_and_the_others_are_taken_down_meanwhile() {
    let mut node = node_with_stuck("hung", |_| json!({"behave": "ignore-sigterm"}));
    node.entry.insert("limits".into(), json!({"delegateSeconds": 3}));
    let sandbox = node.sandbox("cart", "stuck,bridge,macvlan");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let outcome = runtime.del(&sandbox.pod).unwrap();
    let text = outcome.error_text();
    assert!(text.contains("was killed in DEL, as it had not ended after "), "{outcome}");
    assert!((2.0..20.0).contains(&killed_after(&text)), "{outcome}");
    assert_eq!(sandbox.links(), ["net1"]);
    assert!(left_after(&node, &sandbox));
}
