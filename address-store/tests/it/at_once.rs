//! Many processes at once on one node, and many nodes at one block.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, Node, assert_unique, large, pool};
use crate::file_api::FileApi;

const BED: &str = "ADDRESS_BED";

pub(crate) fn child(role: &str, bed: &Path, node: &str, container: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([role, "--exact", "--ignored", "--test-threads=1"])
        .env(BED, bed)
        .env("ADDRESS_NODE", node)
        .env("ADDRESS_CONTAINER", container)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What a child was started with: its API server, its node and its container.
pub(crate) fn of_child<T>(work: impl FnOnce(&Node<'_>, &str) -> T) -> T {
    let var = |name: &str| std::env::var(name).expect("only started by another test");
    let bed = Path::new(&var(BED)).to_owned();
    let api = FileApi::in_folder(&bed.join("api"));
    let name = var("ADDRESS_NODE");
    work(&Node::at(&api, &bed.join(&name), &name), &var("ADDRESS_CONTAINER"))
}

#[test]
#[ignore = "runs as a child of another test"]
fn child_that_adds_one_pod() {
    of_child(|node, container| node.add(container, &large()).unwrap());
}

#[test]
#[ignore = "runs as a child of another test"]
fn child_that_adds_one_pod_of_a_small_pool() {
    let small = pool("10.2.0.0/16", "10.2.1.0", "10.2.1.15");
    of_child(|node, container| node.add(container, &small).unwrap());
}

fn all_succeed(children: Vec<Child>) {
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
}

// Proves: IPAM-41
#[test]
fn thirty_two_processes_from_cold_claim_at_most_two_blocks_more_than_they_need() {
    let bed = Bed::new();
    bed.node("a");
    let start =
        |n| child("at_once::child_that_adds_one_pod", bed.path(), "a", &format!("c{n}")).spawn().unwrap();
    all_succeed((0..32).map(start).collect());
    let node = bed.node("a");
    let given: BTreeSet<_> = node.leases().into_iter().map(|(ip, _)| ip).collect();
    assert_eq!(given.len(), 32);
    assert!(bed.api.all().len() <= 4, "{} blocks for 32 pods", bed.api.all().len());
    assert_unique(&[node]);
}

// Proves: IPAM-47
#[test]
fn sixteen_nodes_that_claim_of_one_block_at_once_get_an_address_each() {
    let bed = Bed::new();
    let nodes: Vec<String> = (0..16).map(|n| format!("n{n}")).collect();
    nodes.iter().for_each(|name| drop(bed.node(name).me()));
    let start = |name: &String| {
        child("at_once::child_that_adds_one_pod_of_a_small_pool", bed.path(), name, "c").spawn().unwrap()
    };
    all_succeed(nodes.iter().map(start).collect());
    let nodes: Vec<_> = nodes.iter().map(|name| bed.node(name)).collect();
    let given: BTreeSet<_> = nodes.iter().flat_map(|node| node.leases()).map(|(ip, _)| ip).collect();
    assert_eq!(given.len(), 16);
    assert_unique(&nodes);
}
