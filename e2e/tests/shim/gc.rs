//! GC clears what the runtime no longer knows, in every network, and nothing else.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cleanup::ALL;
use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// A node that finds its default network on disk, with two pods of four networks each.
fn node_with_two_pods(prefix: &str) -> (Node<'static>, Sandbox, Sandbox) {
    let mut node = Node::new(prefix);
    node.define("storage", &node.bridge("mf-storage", &["10.50.0.0/24"]));
    node.define("wire", &node.macvlan(&["10.60.0.0/24"]));
    node.define("link", &node.ptp(&["10.70.0.0/24"]));
    let default = node.default_network();
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let (living, dead) = (node.sandbox("living", ALL), node.sandbox("dead", ALL));
    for sandbox in [&living, &dead] {
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    }
    (node, living, dead)
}

/// By then a list that lacks a pod was made after the pod's ADD.
const OLD_ENOUGH_SECONDS: u64 = 200;

const NETWORKS: [&str; 4] = ["cluster-wide-network", "storage", "wire", "link"];

/// How many addresses are in use in each network.
fn in_use(node: &Node<'_>) -> [usize; 4] {
    NETWORKS.map(|network| node.leases(network).len())
}

/// A lease of a sandbox of which no entry tells.
fn plant_lease(node: &Node<'_>, network: &str, address: &str, container: &str, ifname: &str) {
    fs::write(node.folder("networks").join(network).join(address), format!("{container}\r\n{ifname}"))
        .unwrap();
}

// Proves: P-COR-9, P-DEL-10, MLT-GC-1, F-RUN-6
#[test]
fn what_the_list_lacks_is_cleared_in_every_network_and_the_living_pod_is_untouched() {
    let (node, living, dead) = node_with_two_pods("gc");
    assert_eq!(in_use(&node), [4, 2, 2, 2]);
    dead.netns.delete();
    plant_lease(&node, "storage", "10.50.0.99", "forgotten", "net1");
    plant_lease(&node, "cluster-wide-network", "10.244.0.99", "forgotten", "eth0");
    // Attached before this plugin came to the node: the runtime knows it, the ledger does not.
    plant_lease(&node, "cluster-wide-network", "10.244.0.98", "older", "eth0");
    let runtime = node.runtime_of(&node.later(OLD_ENOUGH_SECONDS));
    runtime.gc(&[(&living.pod.container_id, "eth0"), ("older", "eth0")]).unwrap().must_succeed();
    assert_eq!(in_use(&node), [3, 1, 1, 1]);
    assert!(node.leases("cluster-wide-network").contains(&"10.244.0.98".into()));
    let of_the_living = format!(".locks/{}", living.pod.container_id);
    assert_eq!(node.ledger(), [of_the_living, living.pod.container_id.clone()]);
    runtime.del(&dead.pod).unwrap().must_succeed();
    assert_eq!(living.links(), ["eth0", "net1", "net2", "net3"]);
    node.runtime().del(&living.pod).unwrap().must_succeed();
    assert_eq!(in_use(&node), [1, 0, 0, 0]);
}

/// GC with exactly this list, or none.
fn gc_with(node: &Node<'_>, list: Option<Value>) {
    let mut entry = node.entry.clone();
    if let Some(list) = list {
        entry.insert("cni.dev/valid-attachments".into(), list);
    }
    node.runtime_of(&node.later(OLD_ENOUGH_SECONDS)).call("GC", None, entry.into()).unwrap().must_succeed();
}

// Proves: F-RUN-6
#[test]
fn no_list_clears_nothing_and_an_empty_one_everything_of_this_configuration_only() {
    let (mut node, living, dead) = node_with_two_pods("lists");
    let third = node.sandbox("third", ALL);
    let ours = node.entry.clone();
    node.entry.insert("name".into(), json!("another-runtime"));
    node.runtime().add(&third.pod).unwrap().must_succeed();
    node.entry = ours;
    gc_with(&node, None);
    gc_with(&node, Some(Value::Null));
    assert_eq!(in_use(&node)[1..], [3, 3, 3]);
    gc_with(&node, Some(json!([])));
    assert_eq!(in_use(&node)[1..], [1, 1, 1], "the other runtime's pod is none of our business");
    for sandbox in [&living, &dead] {
        assert_eq!(sandbox.links(), Vec::<String>::new());
    }
    assert_eq!(third.links(), ["eth0", "net1", "net2", "net3"]);
    node.entry.insert("name".into(), json!("another-runtime"));
    node.runtime().del(&third.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-RUN-12
#[test]
fn a_pod_whose_add_ended_after_the_runtime_made_its_list_is_left_for_its_del_or_the_next_gc() {
    let (node, living, young) = node_with_two_pods("young");
    // The runtime made this list before the second pod's ADD ended, and then called GC.
    let list = [(living.pod.container_id.as_str(), "eth0")];
    node.runtime().gc(&list).unwrap().must_succeed();
    assert_eq!(in_use(&node), [4, 2, 2, 2]);
    assert_eq!(young.links(), ["eth0", "net1", "net2", "net3"]);
    node.runtime_of(&node.later(OLD_ENOUGH_SECONDS)).gc(&list).unwrap().must_succeed();
    assert_eq!(in_use(&node), [2, 1, 1, 1]);
    assert_eq!(young.links(), Vec::<String>::new());
    node.runtime().del(&young.pod).unwrap().must_succeed();
    node.runtime().del(&living.pod).unwrap().must_succeed();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: F-RUN-5, CNI-RUN-3
#[test]
fn gc_waits_for_an_add_that_is_under_way() {
    let (node, living, dead) = node_with_two_pods("waits");
    node.install_fakes(&["fake"]);
    node.define("slow", &node.fake(&json!({"ADD": {"delayMs": 1500}})));
    let starting = node.sandbox("starting", "slow");
    let ids = [&living, &dead, &starting].map(|sandbox| sandbox.pod.container_id.as_str());
    std::thread::scope(|scope| {
        let add = scope.spawn(|| node.runtime().add(&starting.pod).unwrap());
        node.wait_for_call(&add);
        node.runtime().gc(&ids.map(|id| (id, "eth0"))).unwrap().must_succeed();
        let calls = manifold_e2e::trace::read(&node.folder("trace")).unwrap();
        let gc = calls.iter().find(|call| call.verb == "GC").expect("GC of a network that is in use");
        assert!(calls[0].end.unwrap() <= gc.start, "ADD and GC of one network at the same time");
        add.join().unwrap().must_succeed();
    });
    for sandbox in [&living, &dead, &starting] {
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(in_use(&node), [0, 0, 0, 0]);
}

// Proves: F-RUN-7, F-NOD-2
#[test]
fn a_sandbox_that_the_runtime_forgot_is_swept_ten_minutes_after_its_namespace_is_gone() {
    let (node, living, dead) = node_with_two_pods("idle");
    dead.netns.delete();
    let passes_by = |seconds| {
        let sandbox = node.sandbox(&format!("passer-{seconds}"), "");
        let runtime = node.runtime_of(&node.later(seconds));
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
    };
    passes_by(100);
    passes_by(400);
    assert_eq!(in_use(&node), [4, 2, 2, 2], "five minutes are not ten");
    passes_by(800);
    // By a process of its own, for which no runtime waits.
    let until = Instant::now() + Duration::from_secs(120);
    while in_use(&node) != [2, 1, 1, 1] {
        assert!(Instant::now() < until, "{:?}", in_use(&node));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(living.links().len(), 4);
    node.runtime().del(&living.pod).unwrap().must_succeed();
}

// Shows part of: F-RUN-6
#[test]
fn a_living_pod_of_multus_keeps_its_address_in_a_network_that_both_use() {
    let (node, living, dead) = node_with_two_pods("older");
    plant_lease(&node, "storage", "10.50.0.98", "older", "data0");
    plant_lease(&node, "storage", "10.50.0.97", "torn", "net1");
    plant_lease(&node, "storage", "10.50.0.96", "gone", "net1");
    let storage = node.bridge("mf-storage", &["10.50.0.0/24"]).with("name", json!("storage"));
    let delegate =
        |name: &str, conf: &Value| json!({"Name": name, "Bytes": STANDARD.encode(conf.to_string())});
    let second = delegate("shop/storage", &storage).with("ifnameRequest", json!("data0"));
    let state = json!([delegate("cluster-wide-network", &node.default_network()), second]);
    fs::create_dir_all(node.folder("multus/results")).unwrap();
    fs::write(node.folder("multus/older"), state.to_string()).unwrap();
    // Of this one there is only what libcni kept.
    fs::write(node.folder("multus/torn"), "[{").unwrap();
    let cached = json!({"kind": "cniCacheV1", "containerId": "torn", "ifName": "net1", "networkName": "storage",
        "config": STANDARD.encode(storage.to_string())});
    fs::write(node.folder("multus/results/storage-torn-net1"), cached.to_string()).unwrap();
    let ids = [living.pod.container_id.as_str(), &dead.pod.container_id, "older", "torn"];
    node.runtime().gc(&ids.map(|id| (id, "eth0"))).unwrap().must_succeed();
    let leases = node.leases("storage");
    assert!(leases.contains(&"10.50.0.98".into()) && leases.contains(&"10.50.0.97".into()), "{leases:?}");
    assert!(!leases.contains(&"10.50.0.96".into()), "{leases:?}");
    assert_eq!(leases.len(), 4);
}

// Shows part of: F-DSK-3
#[test]
fn a_living_pod_whose_entry_cannot_be_read_keeps_its_addresses_and_gc_says_so() {
    let (node, living, dead) = node_with_two_pods("damaged");
    let ids = [&living, &dead].map(|sandbox| (sandbox.pod.container_id.as_str(), "eth0"));
    fs::write(node.folder("state").join(&living.pod.container_id), "torn").unwrap();
    // Set aside by the first, it is still no entry less by the second.
    for _ in 0..2 {
        let text = node.runtime().gc(&ids).unwrap().error_text();
        assert!(text.contains(&living.pod.container_id) && text.contains("is alive"), "{text}");
        assert_eq!(in_use(&node), [4, 2, 2, 2]);
    }
}
