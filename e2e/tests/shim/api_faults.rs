//! The API server answers, and the answer is no, not now, or too late.

use std::fs;
use std::time::{Duration, Instant};

use manifold_e2e::forward::Mode;
use serde_json::json;

use crate::node::Node;
use crate::proxy::{Fate, Proxy};
use crate::sandbox::Sandbox;

fn node_with_storage(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node
}

#[track_caller]
fn told_to_try_again(node: &Node<'_>, sandbox: &Sandbox, parts: &[&str]) -> Duration {
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    let text = outcome.must_fail_with(11);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    node.assert_clean(&oracle, &before);
    outcome.wall
}

fn status(code: u16, reason: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "code": code})
        .to_string()
}

// Proves: F-API-3
#[test]
fn answers_that_take_two_seconds_each_still_make_a_pod() {
    let mut node = node_with_storage("late");
    let sandbox = node.sandbox("cart", "storage");
    let late = Duration::from_millis(1900);
    let proxy = Proxy::new(&mut node, move |_, _| Fate::Late(late));
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    let times = proxy.times();
    assert!(times[1] - times[0] < late, "the definitions are asked for at once: {:?}", proxy.requests());
    assert!(outcome.wall < Duration::from_secs(20), "{:?}", outcome.wall);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-2
#[test]
fn an_answer_that_was_cut_short_is_asked_for_again() {
    let mut node = node_with_storage("cut");
    let sandbox = node.sandbox("cart", "storage");
    let cut = |_: &str, before: usize| if before < 3 { Fate::Cut } else { Fate::Pass };
    let _proxy = Proxy::new(&mut node, cut);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(sandbox.links(), ["eth0", "net1"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-4
#[test]
fn a_busy_server_is_obeyed_within_the_budget() {
    for (code, name) in [(429, "many"), (503, "unavailable")] {
        let mut node = node_with_storage(name);
        let sandbox = node.sandbox("cart", "storage");
        let busy = move |_: &str, before: usize| match before {
            0 => Fate::Answer(code, "Retry-After: 2\r\n", status(code, "wait")),
            _ => Fate::Pass,
        };
        let proxy = Proxy::new(&mut node, busy);
        let outcome = node.runtime().add(&sandbox.pod).unwrap();
        outcome.must_succeed();
        assert!(outcome.wall > Duration::from_secs(2), "{:?}", outcome.wall);
        assert!(proxy.times().last().unwrap().duration_since(proxy.times()[0]) > Duration::from_secs(2));
        drop(proxy);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: F-API-4
#[test]
fn a_server_that_is_busy_for_longer_than_the_budget_is_not_waited_for() {
    let mut node = node_with_storage("busy");
    let sandbox = node.sandbox("cart", "storage");
    let busy = |_: &str, _: usize| Fate::Answer(429, "Retry-After: 60\r\n", status(429, "wait"));
    let proxy = Proxy::new(&mut node, busy);
    let wall =
        told_to_try_again(&node, &sandbox, &["is too busy for `get`", "(429)", "priority and fairness"]);
    assert!(proxy.requests().len() <= 2, "each definition is asked for once: {:?}", proxy.requests());
    assert!(
        wall < Duration::from_secs(9),
        "a minute is beyond the budget of ten seconds, so nothing is gained by waiting: {wall:?}"
    );
}

// Proves: F-API-5, P-UP-6
#[test]
fn a_token_that_was_renewed_meanwhile_is_read_again() {
    let node = node_with_storage("renewed");
    let sandbox = node.sandbox("cart", "storage");
    let good = fs::read_to_string(&node.access.token_file).unwrap();
    manifold_e2e::kubeconfig::write_secret(&node.access.token_file, "expired").unwrap();
    // Slow enough that the renewal falls between the first reading of the token and the refusal.
    node.forward.as_ref().unwrap().set(Mode::Delay(Duration::from_millis(700)));
    std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        node.wait_for_start(&sandbox.pod.container_id, &add);
        std::thread::sleep(Duration::from_millis(300));
        manifold_e2e::kubeconfig::write_secret(&node.access.token_file, &good).unwrap();
        add.join().unwrap().must_succeed();
    });
    assert!(!node.folder("state/credentials/refused").exists());
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-API-5
#[test]
fn a_token_that_stays_refused_leaves_the_mark_for_the_node_role() {
    let node = node_with_storage("expired");
    let sandbox = node.sandbox("cart", "storage");
    manifold_e2e::kubeconfig::write_secret(&node.access.token_file, "expired").unwrap();
    let wall = told_to_try_again(
        &node,
        &sandbox,
        &["refuses the token of this node (401", "the node agent renews it"],
    );
    assert!(wall < Duration::from_secs(9), "it was asked for until the budget ended: {wall:?}");
    assert!(node.folder("state/credentials/refused").exists());
}

// Proves: F-API-6
#[test]
fn a_right_that_is_missing_is_named_with_the_rule_that_grants_it() {
    let node = node_with_storage("forbidden");
    let sandbox = node.sandbox("cart", "storage");
    let client = node.ns.api().client();
    let binding =
        format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/manifold-shim-{}", node.ns.name());
    assert!(client.call("DELETE", &binding, "application/json", b"").unwrap().ok());
    let token = fs::read_to_string(&node.access.token_file).unwrap();
    let shim = node.ns.api().client_with_token(&token).unwrap();
    let path = format!(
        "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions/storage",
        node.ns.name()
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    while shim.get(&path).unwrap().status != 403 {
        assert!(Instant::now() < deadline, "the right is not taken away");
        std::thread::sleep(Duration::from_millis(20));
    }
    let rule = "{apiGroups: [\"k8s.cni.cncf.io\"], resources: [\"network-attachment-definitions\"], verbs: [\"get\"]}";
    let wall = told_to_try_again(
        &node,
        &sandbox,
        &["does not allow `get` of `network-attachment-definitions`", rule],
    );
    assert!(wall < Duration::from_secs(9), "it does not help to ask again: {wall:?}");
}

// Proves: F-API-10
#[test]
fn a_status_that_cannot_be_published_never_fails_a_pod() {
    let mut node = node_with_storage("patch");
    let fates = [
        (
            "forbidden",
            Fate::Answer(403, "", status(403, "someone's webhook says no")),
            "someone's webhook says no",
        ),
        ("invalid", Fate::Answer(422, "", status(422, "spec is odd")), "spec is odd"),
        ("broken", Fate::Answer(500, "", status(500, "etcd has no leader")), "500"),
        ("late", Fate::Late(Duration::from_secs(4)), "the API server"),
    ];
    for (name, fate, why) in fates {
        let sandbox = node.sandbox(name, "storage");
        let only_patch =
            move |line: &str, _: usize| if line.starts_with("PATCH") { fate.clone() } else { Fate::Pass };
        let proxy = Proxy::new(&mut node, only_patch);
        let outcome = node.runtime().add(&sandbox.pod).unwrap();
        outcome.must_succeed();
        assert!(outcome.wall < Duration::from_secs(30), "{name}: {:?}", outcome.wall);
        assert_eq!(node.outcomes().last().unwrap()["outcome"], "unpublished", "{name}");
        let entry = fs::read(node.folder("state").join(&sandbox.pod.container_id)).unwrap();
        assert!(String::from_utf8_lossy(&entry).contains(why), "{name}: the entry does not say why");
        assert!(proxy.requests().iter().any(|line| line.starts_with("PATCH")));
        drop(proxy);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
}
