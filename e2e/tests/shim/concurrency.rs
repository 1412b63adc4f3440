//! Many calls at once: no address is given twice, nobody waits for ever, and after the last DEL nothing is left.

use std::collections::BTreeSet;

use manifold_e2e::runtime::CallOutcome;
use serde_json::json;

use crate::kernel;
use crate::networks::With;
use crate::node::Node;

/// Runs them all at the same time.
pub(crate) fn together<T: Send>(work: Vec<Box<dyn FnOnce() -> T + Send + '_>>) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> = work.into_iter().map(|one| scope.spawn(one)).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

pub(crate) type Call<'a> = Box<dyn FnOnce() -> CallOutcome + Send + 'a>;

/// As a runtime does: who is refused in these words, because others are before him, tries again. A busy machine needs it.
pub(crate) fn tried_again(refusal: &str, call: impl Fn() -> CallOutcome) -> CallOutcome {
    (0..5).map(|_| call()).find(|outcome| !outcome.error_text().contains(refusal)).unwrap_or_else(&call)
}

#[test]
fn thirty_pods_at_once_share_a_range_of_thirty_addresses() {
    const PODS: usize = 30;
    let node = Node::new("storm");
    let range = json!([[{"subnet": "10.50.0.0/24", "rangeStart": "10.50.0.101", "rangeEnd": "10.50.0.130"}]]);
    let exact = node.ipam(&[]).with("ranges", range);
    node.define("exact", &node.bridge("mf-exact", &[]).with("ipam", exact));
    node.define("wire", &node.macvlan(&["10.60.0.0/24"]));
    let warm = node.sandbox("warm", "exact,wire");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    let sandboxes: Vec<_> = (0..PODS).map(|n| node.sandbox(&format!("pod-{n}"), "exact,wire")).collect();
    let late = node.sandbox("late", "exact,wire");
    let oracle = node.oracle(&[&sandboxes[0].netns, &sandboxes[1].netns, &late.netns]);
    let before = oracle.snapshot().unwrap();
    let runtime = node.runtime();
    let adds = sandboxes.iter().map(|s| Box::new(|| runtime.add(&s.pod).unwrap()) as Call<'_>).collect();
    together(adds).iter().for_each(|outcome| drop(outcome.must_succeed()));
    for link in ["eth0", "net1", "net2"] {
        let given: BTreeSet<String> =
            sandboxes.iter().flat_map(|s| kernel::addresses(&s.netns, link)).collect();
        assert_eq!(given.len(), if link == "eth0" { 2 * PODS } else { PODS }, "{link}: {given:?}");
    }
    let text = runtime.add(&late.pod).unwrap().error_text();
    assert!(text.contains("no address") || text.contains("10.50.0.101"), "the range is used up: {text}");
    let dels = sandboxes.iter().map(|s| Box::new(|| runtime.del(&s.pod).unwrap()) as Call<'_>).collect();
    together(dels).iter().for_each(|outcome| drop(outcome.must_succeed()));
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-3
#[test]
fn two_adds_and_two_dels_of_one_sandbox_at_once_end_in_all_or_nothing() {
    let node = Node::new("duel");
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    let sandbox = node.sandbox("cart", "storage");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    for round in 0..25 {
        let add = || Box::new(|| node.runtime().add(&sandbox.pod).unwrap()) as Call<'_>;
        let del = || Box::new(|| node.runtime().del(&sandbox.pod).unwrap()) as Call<'_>;
        let outcomes = together(vec![add(), del(), add(), del()]);
        for (n, outcome) in outcomes.iter().enumerate() {
            match n % 2 {
                // 11: gave way to a DEL; 102: the other was there first.
                0 => assert!(
                    outcome.succeeded() || [11, 102].contains(&outcome.error_code().unwrap()),
                    "{outcome}"
                ),
                _ => drop(outcome.must_succeed()),
            }
        }
        let attached = sandbox.links();
        assert!(
            attached.is_empty() || attached == ["eth0", "net1"],
            "round {round}: half a pod: {attached:?}"
        );
        let entry = node.ledger().contains(&sandbox.pod.container_id);
        assert_eq!(entry, !attached.is_empty(), "round {round}: {:?}", node.ledger());
    }
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

// Proves: F-RUN-3, P-PERF-6
#[test]
fn a_del_during_an_add_that_hangs_ends_when_the_delegate_is_killed() {
    let mut node = Node::new("hung-add");
    node.install_fakes(&["fake"]);
    node.entry.insert("limits".into(), json!({"delegateSeconds": 2}));
    node.define("hung", &node.fake(&json!({"ADD": {"behave": "ignore-sigterm"}})));
    let warm = node.sandbox("warm", "");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    let sandbox = node.sandbox("cart", "hung");
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&sandbox.pod).unwrap());
        node.wait_for_call(&add);
        let del = node.runtime().del(&sandbox.pod).unwrap();
        del.must_succeed();
        assert!(del.wall.as_secs() < 60, "{:?}", del.wall);
        assert!(!add.join().unwrap().succeeded());
    });
    node.assert_clean(&oracle, &before);
}
