//! After DEL everything is as it was before ADD: links, addresses, routes, neighbours, rules, leases, ledger. Whatever
//! has happened in between to the API server, the definitions, the pod and its namespace.

use manifold_e2e::leaks::Snapshot;

use crate::node::Node;
use crate::sandbox::Sandbox;

/// One of each: default network, bridge, macvlan, ptp.
pub(crate) const ALL: &str = "storage,wire,link";

/// A node on which such a pod has come and gone: a bridge stays when the last pod goes, as with every bridge plugin.
pub(crate) fn used_node(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node.define("wire", &node.macvlan(&["10.60.0.0/24"]));
    node.define("link", &node.ptp(&["10.70.0.0/24", "fd00:70::/64"]));
    let first = node.sandbox("first", ALL);
    let runtime = node.runtime();
    runtime.add(&first.pod).unwrap().must_succeed();
    runtime.del(&first.pod).unwrap().must_succeed();
    drop(runtime);
    node
}

/// ADD, then `meanwhile`, then DEL with what the runtime still knows, twice.
fn add_and_del(prefix: &str, meanwhile: impl FnOnce(&mut Node<'_>, &mut Sandbox)) {
    let mut node = used_node(prefix);
    let mut sandbox = node.sandbox("cart", ALL);
    let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
    let result = node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3, "{result}");
    assert_eq!(sandbox.links(), ["eth0", "net1", "net2", "net3"]);
    assert_eq!(node.leases("cluster-wide-network").len(), 2);
    meanwhile(&mut node, &mut sandbox);
    let runtime = node.runtime();
    for _ in 0..2 {
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        assert_nothing_left(&node, &sandbox, &before);
    }
}

#[track_caller]
pub(crate) fn assert_nothing_left(node: &Node<'_>, sandbox: &Sandbox, before: &Snapshot) {
    let oracle = node.oracle(&[&sandbox.netns]);
    // A namespace that the runtime removed takes with it what was in it.
    let gone = !sandbox.netns.path().exists();
    let leaks = node.leaks_but(&oracle, before, |leak| gone && leak.starts_with("pod 1: "));
    assert!(leaks.is_empty(), "{} leaks: {leaks:#?}", leaks.len());
    assert_eq!(node.ledger(), Vec::<String>::new(), "entries, half-written ones, and locks");
}

// Proves: F-POD-7
#[test]
fn del_leaves_nothing_of_a_pod_with_four_networks() {
    add_and_del("plain", |_, _| ());
}

// Proves: F-API-9, P-DEL-4, MLT-DEL-4
#[test]
fn del_needs_no_api_server_and_no_credentials() {
    add_and_del("down", |node, _| {
        node.cut_off();
        std::fs::remove_file(&node.access.kubeconfig).unwrap();
        std::fs::remove_file(&node.access.token_file).unwrap();
    });
}

// Proves: F-POD-2, P-DEL-4
#[test]
fn del_needs_neither_the_definitions_nor_the_pod() {
    add_and_del("deleted", |node, _| {
        for name in ["cluster-wide-network", "storage", "wire", "link"] {
            node.ns.delete_definition(name).unwrap();
        }
        node.ns.delete_pod("cart").unwrap();
    });
}

// Proves: P-DEL-7, P-DEL-4, MLT-DEL-4
#[test]
fn del_succeeds_when_the_namespace_is_gone() {
    add_and_del("gone", |_, sandbox| {
        sandbox.netns.delete();
        sandbox.pod = sandbox.pod.clone().without_netns();
    });
}

// Proves: P-DEL-4
#[test]
fn del_succeeds_when_the_runtime_still_names_a_namespace_that_is_gone() {
    add_and_del("stale", |_, sandbox| sandbox.netns.delete());
}
