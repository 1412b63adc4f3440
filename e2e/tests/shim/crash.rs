//! The executable killed at every named point of ADD: two DELs, or the sweep of the next boot, take everything away.

use manifold_e2e::runtime::Pod;
use serde_json::json;

use crate::cleanup::{ALL, assert_nothing_left, used_node};
use crate::node::{Node, manifold_with_crash_points};
use crate::sandbox::Sandbox;

/// Every point that an ADD of four networks passes, in order.
const POINTS: [&str; 15] = [
    "locked",
    "planned",
    "before-record",
    "recorded",
    "attaching-0",
    "attached-0",
    "attaching-1",
    "attached-1",
    "attaching-2",
    "attached-2",
    "attaching-3",
    "attached-3",
    "routed",
    "published",
    "saved",
];

/// A pod whose ADD was killed at this point.
fn killed(node: &Node<'_>, sandbox: &Sandbox, point: &str) {
    let mut runtime = node.runtime_of(&manifold_with_crash_points());
    runtime.env.push(("MANIFOLD_CRASH_AT".into(), point.into()));
    let outcome = runtime.add(&sandbox.pod).unwrap();
    assert_eq!(outcome.signal, Some(9), "`{point}` was not passed: {outcome}");
    assert_eq!(outcome.stdout, b"", "killed at `{point}`, after the answer");
}

fn kill_and_del(prefix: &str, points: &[&str], meanwhile: impl Fn(&Sandbox) -> Pod) {
    let node = used_node(prefix);
    for point in points {
        let sandbox = node.sandbox(&format!("killed-{point}"), ALL);
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        killed(&node, &sandbox, point);
        let pod = meanwhile(&sandbox);
        for _ in 0..2 {
            node.runtime().del(&pod).unwrap().must_succeed();
        }
        assert_nothing_left(&node, &sandbox, &before);
    }
}

// Shows part of: T-2
// Proves: F-RUN-1, P-DEL-2
#[test]
fn killed_in_the_first_half_of_add_two_dels_leave_nothing() {
    kill_and_del("crash", &POINTS[..8], |sandbox| sandbox.pod.clone());
}

// Shows part of: T-2
// Proves: F-RUN-1, P-DEL-2
#[test]
fn killed_in_the_second_half_of_add_two_dels_leave_nothing() {
    kill_and_del("crash", &POINTS[8..], |sandbox| sandbox.pod.clone());
}

// Shows part of: T-2
// Proves: P-DEL-7
#[test]
fn killed_and_the_namespace_gone_two_dels_leave_nothing() {
    let points = ["recorded", "attached-0", "attached-1", "attached-2", "attached-3", "published", "saved"];
    kill_and_del("crash-gone", &points, |sandbox| {
        sandbox.netns.delete();
        sandbox.pod.clone().without_netns()
    });
}

// Proves: F-POD-6
#[test]
fn an_add_after_a_killed_one_undoes_it_first_and_succeeds() {
    let node = used_node("again");
    for point in ["recorded", "attached-1", "published"] {
        let sandbox = node.sandbox(&format!("again-{point}"), ALL);
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        killed(&node, &sandbox, point);
        let runtime = node.runtime();
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(sandbox.links(), ["eth0", "net1", "net2", "net3"]);
        assert_eq!(node.leases("storage").len(), 1, "the killed one's address is free again");
        runtime.check(&sandbox.pod).unwrap().must_succeed();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_nothing_left(&node, &sandbox, &before);
    }
}

// Shows part of: T-2
// Proves: F-RUN-1, P-DEL-1
#[test]
fn executed_delegates_get_their_del_with_the_result_of_the_add_that_was_killed() {
    let node = used_node("executed");
    node.install_fakes(&["fake"]);
    node.define("other", &node.fake(&json!({"*": {"work": true}})));
    for (point, results) in [
        ("recorded", [false, false]),
        ("attaching-2", [true, false]),
        ("attached-2", [true, true]),
        ("saved", [true, true]),
    ] {
        let sandbox = node.sandbox(&format!("killed-{point}"), "other,other,storage");
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        killed(&node, &sandbox, point);
        for _ in 0..2 {
            node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        }
        assert_nothing_left(&node, &sandbox, &before);
        let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
        let ours = calls.iter().filter(|call| call.var("CNI_CONTAINERID") == sandbox.pod.container_id);
        for del in ours.filter(|call| call.verb == "DEL") {
            let known = results[usize::from(del.var("CNI_IFNAME") == "net2")];
            assert_eq!(del.stdin.get("prevResult").is_some(), known, "{point}, {}", del.var("CNI_IFNAME"));
        }
    }
}

// Proves: F-NOD-1, P-DEL-9, P-DEL-10
#[test]
fn what_a_reboot_left_is_swept_before_the_first_add_is_answered() {
    let node = used_node("boot");
    let living = node.sandbox("after-boot", ALL);
    let before = node.oracle(&[&living.netns]).snapshot().unwrap();
    let mut left = Vec::new();
    for point in POINTS {
        let sandbox = node.sandbox(&format!("left-{point}"), ALL);
        killed(&node, &sandbox, point);
        left.push(sandbox);
    }
    let whole = node.sandbox("left-whole", ALL);
    node.runtime().add(&whole.pod).unwrap().must_succeed();
    // The power is gone: with the namespaces go the links.
    left.iter().chain([&whole]).for_each(|sandbox| sandbox.netns.delete());
    assert!(node.leases("storage").len() > 5);

    let rebooted = node.runtime_of(&node.in_another_boot("another-boot"));
    rebooted.add(&living.pod).unwrap().must_succeed();
    assert_eq!(node.leases("storage").len(), 1, "all old leases are back, the new pod has its own");
    assert_eq!(node.ledger().len(), 2, "the new pod's entry and lock: {:?}", node.ledger());
    rebooted.del(&living.pod).unwrap().must_succeed();
    assert_nothing_left(&node, &living, &before);
}
