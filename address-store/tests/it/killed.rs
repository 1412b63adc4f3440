//! Killed at every named point and at chance moments: no duplicate, and nothing held in vain once the next has looked.

use std::time::Duration;

use crate::at_once::{child, of_child};
use crate::bed::{Bed, Node, assert_unique, large, pool};

/// As crate docs of `crash` list them.
const POINTS: &[&str] = &[
    "intended",
    "claim-sent",
    "claim-answered",
    "held",
    "intent-gone",
    "lease-made",
    "closing",
    "given-up",
    "dropped",
    "confirmed",
    "adopted",
];

#[test]
#[ignore = "runs as a child of another test"]
fn child_that_adds_dels_and_releases() {
    of_child(|node, container| {
        for n in 0.. {
            for pool in [large(), pool("10.2.0.0/16", "10.2.1.0", "10.2.1.30")] {
                let name = format!("{container}-{n}");
                let _ = node.add(&name, &pool);
                if n % 3 != 0 {
                    node.del(&name);
                }
            }
            if n % 2 == 0 {
                release_all(node);
            }
            if n == 40 {
                return;
            }
        }
    });
}

fn release_all(node: &Node<'_>) {
    let blocks: Vec<_> = node.holdings().iter().map(|(block, _)| block).collect();
    node.session(async |session| {
        let _ = session.settle().await;
        for block in blocks {
            let _ = session.release(block, u16::MAX, 0).await;
            let _ = session.reconcile(block).await;
        }
    });
}

/// What the next call on each node, and its node role, make of it.
fn assert_whole(bed: &Bed, round: &str) {
    let nodes = [bed.node("a"), bed.node("b")];
    for node in &nodes {
        node.settle();
        let now = manifold_address_store::clock::now().unwrap();
        for stored in bed.api.all() {
            let own = node.me().part_of(&stored.spec).mask();
            let known = node.holdings().get(stored.spec.cidr).map_or(0, |h| h.part.mask());
            assert_eq!(own, known, "{round}: {} is held in vain", stored.spec.cidr);
            let closing = node.holdings().get(stored.spec.cidr).map_or(0, |h| h.closing);
            assert!(closing == 0 || node.holdings().get(stored.spec.cidr).unwrap().is_confirmed(&now));
        }
    }
    assert_unique(&nodes);
}

// Shows part of: IPAM-66
#[test]
fn killed_at_every_named_point_it_leaves_no_duplicate_and_nothing_held_in_vain() {
    for point in POINTS {
        let bed = Bed::new();
        bed.node("b").add("other", &large()).unwrap();
        bed.node("a");
        let run = |point: &str| {
            let mut child = child("killed::child_that_adds_dels_and_releases", bed.path(), "a", "c");
            child.env("MANIFOLD_CRASH_AT", point).status().unwrap()
        };
        if *point == "adopted" {
            // Only what another left behind is taken up.
            run("claim-answered");
        }
        let status = run(point);
        assert!(!status.success(), "the point `{point}` is never passed");
        assert_whole(&bed, point);
        // It goes on after the point.
        bed.node("a").add("later", &large()).unwrap();
        assert_whole(&bed, point);
    }
}

// Shows part of: IPAM-37, IPAM-66
#[test]
fn killed_at_any_moment_two_nodes_never_give_one_address_twice() {
    let bed = Bed::new();
    bed.node("a");
    bed.node("b");
    for round in 0..30u64 {
        let mut children: Vec<_> = ["a", "b"]
            .map(|node| {
                child("killed::child_that_adds_dels_and_releases", bed.path(), node, &format!("r{round}"))
            })
            .iter_mut()
            .map(|command| command.spawn().unwrap())
            .collect();
        std::thread::sleep(Duration::from_millis(20 + 7 * round));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_whole(&bed, &format!("round {round}"));
    }
}
