//! Pods of a network that hangs, or of an API server that says nothing, hold nobody else up: plain pods start and stop beside
//! any number of them, and so do pods of other networks.
//!
//! What hangs here hangs until a file is there. It is made when the others have come through, so none of these tests goes by
//! a clock.

use std::fs;
use std::path::PathBuf;
use std::thread::Scope;
use std::time::{Duration, Instant};

use manifold_e2e::forward::Mode;
use manifold_e2e::runtime::CallOutcome;
use manifold_e2e::trace;
use serde_json::json;

use crate::api_down::mirror;
use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// More than there are places at any gate.
const MANY: usize = 48;

/// A node whose network `hangs` does so in this verb, and whose network `works` is as executed as that.
fn node_with(prefix: &str, verb: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    let until = json!({"until": released(&node)});
    node.define("hangs", &node.fake(&json!({verb: until})).with("name", json!("hangs")));
    node.define("works", &node.fake(&json!({})).with("name", json!("works")));
    mirror(&node);
    node.entry.insert("limits".into(), json!({"delegateSeconds": 280, "addSeconds": 290}));
    node
}

fn released(node: &Node<'_>) -> PathBuf {
    node.folder("released")
}

fn release(node: &Node<'_>) {
    fs::write(released(node), "").unwrap();
}

/// How many calls of this verb have begun and not ended.
fn hanging(node: &Node<'_>, verb: &str) -> usize {
    let calls = trace::read(&node.folder("trace")).unwrap();
    calls.iter().filter(|call| call.verb == verb && call.end.is_none()).count()
}

#[track_caller]
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < until, "not after two minutes: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn comes_and_goes(node: &Node<'_>, sandbox: &Sandbox) {
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

type Running<'s> = std::thread::ScopedJoinHandle<'s, CallOutcome>;

fn adds<'s>(scope: &'s Scope<'s, '_>, node: &'s Node<'_>, sandboxes: &'s [Sandbox]) -> Vec<Running<'s>> {
    let add = |sandbox: &'s Sandbox| scope.spawn(move || node.runtime().add(&sandbox.pod).unwrap());
    sandboxes.iter().map(add).collect()
}

// Proves: F-RUN-8
#[test]
fn plain_pods_and_other_networks_come_through_beside_adds_that_hang() {
    let node = node_with("hung-adds", "ADD");
    let hung: Vec<Sandbox> = (0..MANY).map(|n| node.sandbox(&format!("hung-{n}"), "hangs")).collect();
    let (plain, other) = (node.sandbox("plain", ""), node.sandbox("other", "works"));
    std::thread::scope(|scope| {
        let running = adds(scope, &node, &hung);
        wait_until("eight of them hang", || hanging(&node, "ADD") == 8);
        comes_and_goes(&node, &plain);
        comes_and_goes(&node, &other);
        assert_eq!(hanging(&node, "ADD"), 8, "the others of that network wait");
        assert!(running.iter().all(|one| !one.is_finished()));
        release(&node);
        running.into_iter().for_each(|one| drop(one.join().unwrap().must_succeed()));
    });
}

// Proves: F-RUN-8
#[test]
fn plain_pods_and_other_networks_come_through_beside_dels_that_hang() {
    let node = node_with("hung-dels", "DEL");
    let hung: Vec<Sandbox> = (0..MANY).map(|n| node.sandbox(&format!("hung-{n}"), "hangs")).collect();
    let (plain, other) = (node.sandbox("plain", ""), node.sandbox("other", "works"));
    let runtime = node.runtime();
    hung.iter().for_each(|sandbox| drop(runtime.add(&sandbox.pod).unwrap().must_succeed()));
    std::thread::scope(|scope| {
        let del = |sandbox| {
            let runtime = &runtime;
            scope.spawn(move || runtime.del(sandbox).unwrap())
        };
        let running: Vec<Running<'_>> = hung.iter().map(|sandbox| del(&sandbox.pod)).collect();
        wait_until("four of them hang", || hanging(&node, "DEL") == 4);
        comes_and_goes(&node, &plain);
        comes_and_goes(&node, &other);
        assert!(running.iter().all(|one| !one.is_finished()));
        release(&node);
        running.into_iter().for_each(|one| drop(one.join().unwrap().must_succeed()));
    });
}

// Proves: F-RUN-8
#[test]
fn a_plain_pod_comes_through_beside_adds_that_wait_for_a_mute_api_server() {
    let node = node_with("mute", "ADD");
    let asking: Vec<Sandbox> = (0..MANY).map(|n| node.sandbox(&format!("asks-{n}"), "works")).collect();
    let plain = node.sandbox("plain", "");
    let forward = node.forward.as_ref().unwrap();
    forward.set(Mode::Silence);
    std::thread::scope(|scope| {
        let running = adds(scope, &node, &asking);
        wait_until("sixteen of them ask", || forward.connections() >= 16);
        comes_and_goes(&node, &plain);
        assert!(running.iter().all(|one| !one.is_finished()), "it came through before the first gave up");
        forward.set(Mode::Pass);
        running.into_iter().for_each(|one| drop(one.join().unwrap()));
    });
}

// Proves: F-RUN-8
#[test]
fn gc_gives_way_to_an_add_that_hangs_and_clears_the_other_networks() {
    let node = node_with("gc-beside", "ADD");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]).with("name", json!("storage")));
    let (hung, living) = (node.sandbox("hung", "hangs"), node.sandbox("living", "storage"));
    node.runtime().add(&living.pod).unwrap().must_succeed();
    let lease = node.folder("networks/storage/10.50.0.99");
    fs::write(&lease, "forgotten\r\nnet1").unwrap();
    let ids = [&hung, &living].map(|sandbox| (sandbox.pod.container_id.as_str(), "eth0"));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| node.runtime().add(&hung.pod).unwrap());
        wait_until("it hangs", || hanging(&node, "ADD") == 1);
        let text = node.runtime().gc(&ids).unwrap().must_fail_with(11);
        assert!(text.contains("/hangs` is not cleared") && !text.contains("storage"), "{text}");
        assert!(!lease.exists(), "what nobody has in another network is cleared");
        assert!(!running.is_finished());
        node.runtime().del(&living.pod).unwrap().must_succeed();
        release(&node);
        running.join().unwrap().must_succeed();
    });
    node.runtime().gc(&ids).unwrap().must_succeed();
}

// Proves: F-RUN-8
#[test]
fn a_gc_that_hangs_in_one_network_holds_up_no_pod_of_another() {
    let node = &node_with("gc-hangs", "GC");
    let (living, other) = (node.sandbox("living", "hangs"), node.sandbox("other", "works"));
    node.runtime().add(&living.pod).unwrap().must_succeed();
    std::thread::scope(|scope| {
        let ids = [(living.pod.container_id.as_str(), "eth0")];
        let gc = scope.spawn(move || node.runtime().gc(&ids).unwrap());
        wait_until("GC hangs", || hanging(node, "GC") == 1);
        comes_and_goes(node, &other);
        comes_and_goes(node, &node.sandbox("plain", ""));
        assert!(!gc.is_finished(), "{}", gc.join().unwrap());
        release(node);
        gc.join().unwrap().must_succeed();
    });
}

/// An entry whose namespace has been gone for long, in a network whose DEL hangs.
fn forgotten(node: &Node<'_>) -> Sandbox {
    let sandbox = node.sandbox("forgotten", "hangs");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    sandbox.netns.delete();
    let passer = node.sandbox("passer", "");
    node.runtime_of(&node.later(100)).add(&passer.pod).unwrap().must_succeed();
    sandbox
}

// Proves: F-RUN-8, F-RUN-7
#[test]
fn nobody_waits_for_the_idle_sweep() {
    let node = node_with("idle-hangs", "DEL");
    let left = forgotten(&node);
    let plain = node.sandbox("plain", "");
    node.runtime_of(&node.later(800)).add(&plain.pod).unwrap().must_succeed();
    wait_until("the sweep hangs", || hanging(&node, "DEL") == 1);
    comes_and_goes(&node, &node.sandbox("beside", ""));
    release(&node);
    wait_until("it is swept", || !node.ledger().contains(&left.pod.container_id));
}

// Proves: F-NOD-1
#[test]
fn a_network_that_hangs_holds_up_the_first_pod_of_a_boot_only_once() {
    let node = node_with("boot-hangs", "DEL");
    // More than are swept at once.
    let left: Vec<Sandbox> = (0..20).map(|n| node.sandbox(&format!("left-{n}"), "hangs")).collect();
    left.iter().for_each(|sandbox| {
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        sandbox.netns.delete();
    });
    let first = node.sandbox("first", "");
    node.runtime_of(&node.in_another_boot("next-boot")).add(&first.pod).unwrap().must_succeed();
    let dels = trace::read(&node.folder("trace")).unwrap().iter().filter(|call| call.verb == "DEL").count();
    // As many as are swept at once, and the first of the idle sweep.
    assert!((1..=9).contains(&dels), "{dels} calls of a plugin that hangs");
    let entries = || node.ledger().iter().filter(|name| !name.starts_with('.')).count();
    assert_eq!(entries(), 21, "nothing is forgotten");
    release(&node);
    wait_until("the idle sweep has undone its four", || entries() == 17);
}
