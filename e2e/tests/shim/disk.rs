//! The ledger's disk: full, read-only, with an entry that was torn. Nothing is touched that could not be written down,
//! and DEL never takes a torn entry for nothing to do.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::cleanup::{ALL, used_node};
use crate::node::{Node, manifold};

/// The executable on a node where this has been done to the state folder, for its eyes only.
fn with_state(node: &Node<'_>, done: &str) -> PathBuf {
    let state = node.folder("state");
    node.script(&format!(
        "S={}\nexec unshare --mount --propagation private sh -c '{done} && exec {}' sh $S",
        state.display(),
        manifold().display()
    ))
}

const READ_ONLY: &str = "mount --bind $1 $1 && mount -o remount,bind,ro $1";
/// Sixteen pages, all taken.
const FULL: &str =
    "mount -t tmpfs -o size=64k,mode=700 none $1 && { head -c 65536 /dev/zero > $1/filler; true; }";
const NO_INODE: &str = "mount -t tmpfs -o nr_inodes=1,mode=700 none $1";

// Proves: F-DSK-1, CNI-RUN-ADD-3
#[test]
fn what_cannot_be_written_down_is_not_begun() {
    let node = used_node("full");
    for (name, done) in [("read-only", READ_ONLY), ("full", FULL), ("no-inode", NO_INODE)] {
        let sandbox = node.sandbox(name, ALL);
        let oracle = node.oracle(&[&sandbox.netns]);
        let before = oracle.snapshot().unwrap();
        let text = node.runtime_of(&with_state(&node, done)).add(&sandbox.pod).unwrap().must_fail_with(11);
        assert!(text.contains(&node.folder("state").display().to_string()), "{name}: {text}");
        node.assert_clean(&oracle, &before);
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
}

// Proves: F-DSK-2
#[test]
fn on_a_read_only_disk_del_takes_down_what_it_can_and_a_later_del_is_harmless() {
    let node = used_node("read-only");
    let sandbox = node.sandbox("cart", ALL);
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let outcome = node.runtime_of(&with_state(&node, READ_ONLY)).del(&sandbox.pod).unwrap();
    assert!(!outcome.succeeded(), "the entry is still there: {outcome}");
    assert_eq!(sandbox.links(), Vec::<String>::new(), "the delegates have run all the same: {outcome}");
    assert!(node.ledger().contains(&sandbox.pod.container_id));
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

// Proves: F-DSK-3, P-DEL-2, P-DEL-3
#[test]
fn a_torn_entry_is_set_aside_and_del_does_what_it_can_and_says_so_until_it_is_parked() {
    let mut node = used_node("torn");
    let default = node.default_network();
    node.entry.remove("clusterNetwork");
    node.entry.insert("delegates".into(), json!([default]));
    let sandbox = node.sandbox("cart", "storage");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let entry = node.folder("state").join(&sandbox.pod.container_id);
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, &whole[..whole.len() / 3]).unwrap();
    for _ in 0..3 {
        let outcome = node.runtime().del(&sandbox.pod).unwrap();
        assert!(!outcome.succeeded(), "never nothing to do: {outcome}");
        assert!(outcome.error_text().contains(".damaged/"), "it says where the entry is now: {outcome}");
    }
    assert_eq!(
        node.leases("cluster-wide-network"),
        Vec::<String>::new(),
        "the default network is freed by the id"
    );
    let is_marked = || node.ledger().iter().any(|name| name.starts_with(".damaged/"));
    node.runtime().gc(&[]).unwrap().must_succeed();
    assert!(is_marked(), "DEL has not given up yet: {:?}", node.ledger());
    let later = node.runtime_of(&node.later(700));
    later.del(&sandbox.pod).unwrap().must_succeed();
    later.gc(&[(&sandbox.pod.container_id, "eth0")]).unwrap().must_succeed();
    assert!(is_marked(), "the runtime says that it is alive: {:?}", node.ledger());
    later.gc(&[]).unwrap().must_succeed();
    assert!(!is_marked(), "{:?}", node.ledger());
    later.del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-NOD-3
#[test]
fn after_a_downgrade_the_entry_of_a_newer_release_is_kept_and_works_again_with_that_release() {
    let node = used_node("newer");
    let sandbox = node.sandbox("cart", ALL);
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let entry = node.folder("state").join(&sandbox.pod.container_id);
    let ours = fs::read(&entry).unwrap();
    let newer = [b"manifold-ledger 2", &ours[b"manifold-ledger 1".len()..]].concat();
    fs::write(&entry, &newer).unwrap();
    for _ in 0..2 {
        let text = node.runtime().del(&sandbox.pod).unwrap().must_fail_with(100);
        assert!(text.contains("go back to the newer release") && text.contains("kept as it is"), "{text}");
        let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(100);
        assert!(text.contains("go back to the newer release"), "{text}");
        assert_eq!(fs::read(&entry).unwrap(), newer);
    }
    // A pod that a runtime cannot delete for ever would be worse: it is let go, and its entry stays.
    node.runtime_of(&node.later(700)).del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(fs::read(&entry).unwrap(), newer);
    fs::write(&entry, &ours).unwrap();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    node.assert_clean(&oracle, &before);
}

/// Where the results begin in the entry of a pod, and where they end.
fn results_of(entry: &[u8]) -> (usize, usize) {
    let late = entry.windows(6).position(|bytes| bytes == b" late\n").expect("an entry with results");
    (late, entry.len())
}

// Proves: F-DSK-2
#[test]
fn an_add_whose_results_cannot_be_written_down_is_undone() {
    let node = used_node("no-room");
    let sandbox = node.sandbox("cart", ALL);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let (plan, all) = results_of(&fs::read(node.folder("state").join(&sandbox.pod.container_id)).unwrap());
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    let blocks = plan / 512 + 2;
    assert!(blocks * 512 < all, "the plan ends at {plan} of {all} bytes");
    // Files may have room for a plan, and not for its results.
    let exec = manifold().display().to_string();
    let tight = node.script(&format!("trap '' XFSZ\nulimit -f {blocks}\nexec {exec}"));
    let sandbox = node.sandbox("late", ALL);
    let oracle = node.oracle(&[&sandbox.netns]);
    let before = oracle.snapshot().unwrap();
    let text = node.runtime_of(&tight).add(&sandbox.pod).unwrap().must_fail_with(11);
    assert!(text.contains("everything attached before it was undone"), "{text}");
    node.assert_clean(&oracle, &before);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}
