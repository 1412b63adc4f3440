//! Statuses that the shim left to the node agent, or could not publish, from the ledger.

use std::thread;
use std::time::{Duration, Instant};

use manifold_ledger::{BootId, Entry, Ledger, PodIdentity, Stage, State, Status, Unpublished};
use serde_json::json;

use super::bed::{BRIDGE, Node, define, server};

const KEY: &str = "k8s.v1.cni.cncf.io/network-status";

/// An entry as ADD leaves it.
fn attached(node: &Node<'_>, container: &str, pod: (&str, &str, &str), text: &str, status: Status) {
    attached_at(node, 1_790_000_000, container, pod, text, status);
}

fn attached_at(
    node: &Node<'_>,
    created: u64,
    container: &str,
    pod: (&str, &str, &str),
    text: &str,
    status: Status,
) {
    let attachment = json!({
        "display": "plain", "network": "plain", "ifname": "eth0", "default": true, "version": "1.0.0", "plugins": [],
    });
    let boot = BootId::read("/proc/sys/kernel/random/boot_id".as_ref()).unwrap();
    let mut entry: Entry = serde_json::from_value(json!({
        "boot": boot, "container": container, "created": created, "config_name": "manifold",
        "attachments": [attachment],
    }))
    .unwrap();
    let (namespace, name, uid) = pod;
    entry.pod = Some(PodIdentity { namespace: namespace.into(), name: name.into(), uid: Some(uid.into()) });
    let mut pen = Ledger::open(&node.state("")).unwrap().write(&entry).unwrap();
    entry.attachments[0].state = State::Attached;
    (entry.stage, entry.status, entry.status_text) = (Stage::Complete, status, Some(text.to_owned()));
    pen.save(&entry).unwrap();
}

fn status(node: &Node<'_>, container: &str) -> Status {
    let ledger = Ledger::open(&node.state("")).unwrap();
    ledger.read(&container.parse().unwrap()).unwrap().unwrap().status
}

fn left() -> Status {
    Status::Unpublished { why: Unpublished::PlainPod }
}

#[test]
fn a_status_that_was_left_to_the_node_role_is_published_and_noted() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-late", json!({})).serving();
    let shop = api.namespace("late").unwrap();
    let make = |name: &str| {
        let pod = api.pod(shop.name(), name, "node-late", &[]).unwrap();
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let uid = make("plain");
    attached(&node, "c1", (shop.name(), "plain", &uid), "[{\"name\":\"plain\"}]", left());
    node.wait("the status", || shop.annotation("plain", KEY).unwrap().is_some());
    assert_eq!(shop.annotation("plain", KEY).unwrap().unwrap(), "[{\"name\":\"plain\"}]");
    node.wait("the note", || status(&node, "c1") == Status::Published);
    // One that is another by now, and one that has gone.
    let other = make("reborn");
    attached(&node, "c2", (shop.name(), "reborn", "0f1e2d3c-0000-4000-8000-0123456789ab"), "[]", left());
    attached(&node, "c3", (shop.name(), "gone", "0f1e2d3c-0000-4000-8000-0123456789ac"), "[]", left());
    node.wait("superseded", || ["c2", "c3"].iter().all(|c| status(&node, c) == Status::Superseded));
    assert_eq!(shop.annotation("reborn", KEY).unwrap(), None, "{other}");
    node.wait("a count", || node.sum("manifold_node_statuses_unpublished", &[]) == 0.0);
}

// Proves: F-CTL-8
#[test]
fn a_status_that_was_lost_is_published_again_when_the_cluster_role_says_so() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-again", json!({})).serving();
    let shop = api.namespace("again").unwrap();
    let pod = api.pod(shop.name(), "cart", "node-again", &[]).unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    attached(&node, "c1", (shop.name(), "cart", uid), "[{\"name\":\"plain\"}]", Status::Published);
    let mark = json!({"uid": uid, "namespace": shop.name(), "name": "cart"});
    let path = format!("{}/status", super::bed::DEFAULT);
    api.client().send("PATCH", &path, &json!({"status": {"pods": 0, "republish": [mark]}})).unwrap();
    node.wait("the status", || shop.annotation("cart", KEY).unwrap().is_some());
}

// Proves: F-POD-4
#[test]
fn the_status_of_a_static_pod_goes_to_the_mirror_that_carries_its_hash() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-static", json!({})).serving();
    let shop = api.namespace("static").unwrap();
    let hash = "0c7ff6ff1b2c5b3f1c0a9d8e7f6a5b4c";
    let why = Status::Unpublished { why: Unpublished::StaticPod };
    attached(&node, "c1", (shop.name(), "etcd-node-static", hash), "[]", why);
    node.wait("a try", || node.sum("manifold_node_statuses_total", &[("outcome", "Failed")]) >= 1.0);
    // The mirror of an older file under the same name.
    let mirror = |hash: &str| [("kubernetes.io/config.mirror".to_owned(), hash.to_owned())];
    let old = mirror("00000000000000000000000000000000");
    let annotations: Vec<(&str, &str)> = old.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    api.pod(shop.name(), "etcd-node-static", "node-static", &annotations).unwrap();
    let failed = || node.sum("manifold_node_statuses_total", &[("outcome", "Failed")]);
    let before = failed();
    node.wait("another try", || failed() > before);
    assert_eq!(shop.annotation("etcd-node-static", KEY).unwrap(), None, "of the older one");
    shop.delete_pod("etcd-node-static").unwrap();
    let new = mirror(hash);
    let annotations: Vec<(&str, &str)> = new.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    api.pod(shop.name(), "etcd-node-static", "node-static", &annotations).unwrap();
    node.wait("the status", || shop.annotation("etcd-node-static", KEY).unwrap().is_some());
    node.wait("the note", || status(&node, "c1") == Status::Published);
}

// Proves: F-POD-5
#[test]
fn only_the_newest_sandbox_of_a_pod_is_published() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-newest", json!({}));
    let shop = api.namespace("newest").unwrap();
    let pod = api.pod(shop.name(), "cart", "node-newest", &[]).unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    std::fs::create_dir_all(node.state("")).unwrap();
    attached_at(&node, 1_790_000_009, "a-newer", (shop.name(), "cart", uid), "[\"newer\"]", left());
    attached_at(&node, 1_790_000_001, "b-older", (shop.name(), "cart", uid), "[\"older\"]", left());
    let node = node.serving();
    node.wait("the note", || status(&node, "a-newer") == Status::Published);
    assert_eq!(shop.annotation("cart", KEY).unwrap().unwrap(), "[\"newer\"]");
    assert_eq!(status(&node, "b-older"), left());
}

/// Bytes that this process has read from files so far.
fn read_by(node: &Node<'_>) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", node.pid())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

/// On a node with many pods each look costs something, and a starting pod changes the ledger several times.
#[test]
fn a_ledger_that_changes_all_the_time_is_not_read_all_the_time() {
    const ENTRIES: u64 = 50;
    const WATCHED: Duration = Duration::from_secs(5);
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-busy", json!({})).serving();
    let text = "x".repeat(10_000);
    for n in 0..ENTRIES {
        let uid = format!("0f1e2d3c-0000-4000-8000-{n:012x}");
        attached(&node, &format!("c{n}"), ("shop", &format!("p{n}"), &uid), &text, Status::Published);
    }
    let (before, begin, mut calm) = (read_by(&node), Instant::now(), Duration::ZERO);
    while begin.elapsed() < WATCHED {
        std::fs::write(node.state(".touched"), "").unwrap();
        thread::sleep(Duration::from_millis(20));
        calm = begin.elapsed();
    }
    let looks = (read_by(&node) - before) / (ENTRIES * 10_000);
    assert!(looks <= 2 * calm.as_secs() + 4, "{looks} looks in {calm:?}");
}
