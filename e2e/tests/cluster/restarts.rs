//! Nodes and runtimes that end and start again.

use manifold_e2e::cluster::Node;

use crate::bed::{Space, ledger, text};

/// Returns when the node knows that these sandboxes are gone. Each goes as the kubelet comes to its pod.
pub(crate) fn wait_forgotten(space: &Space, node: &Node, old: &[String]) {
    let forgotten = || {
        let now = ledger(node);
        Ok(old.iter().all(|sandbox| !now.contains(sandbox)).then_some(()))
    };
    space.cluster.wait("the sandboxes of before to be known as gone", forgotten).unwrap();
}

// Shows part of: T-11
// Proves: P-UP-2, F-NOD-1
#[test]
fn after_a_reboot_the_pods_have_all_networks_again_and_nothing_is_left_of_the_old_ones() {
    let space = Space::new("reboot");
    space.macvlan("green", 63);
    let node = &space.cluster.nodes()[1];
    for pod in ["one", "two", "three"] {
        space.pod(pod, node, &space.network("green"));
    }
    for pod in ["one", "two", "three"] {
        space.wait_ready(pod);
    }
    let old = ledger(node);
    space.cluster.reboot(node).unwrap();
    space.cluster.wait_node(node, true).unwrap();
    for pod in ["one", "two", "three"] {
        space.wait_anew(pod, "net1");
    }
    wait_forgotten(&space, node, &old);
    assert_eq!(space.leases(node, "green").len(), 3, "the old leases are back");
    for pod in ["one", "two", "three"] {
        space.delete(pod);
    }
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
}

#[test]
fn pods_outlive_the_runtime_and_are_taken_down_by_the_next_one() {
    let space = Space::new("runtime");
    space.macvlan("green", 64);
    let node = &space.cluster.nodes()[0];
    space.pod("old", node, &space.network("green"));
    let pod = space.wait_ready("old");
    node.restart_runtime().unwrap();
    let said = space.exec("old", &["ip", "-4", "-o", "address", "show", "dev", "net1"]);
    assert!(said.contains("10.64."), "its networks are as they were");
    assert_eq!(text(&space.wait_ready("old"), "/status/podIP"), text(&pod, "/status/podIP"));
    space.pod("new", node, &space.network("green"));
    space.wait_ready("new");
    for pod in ["old", "new"] {
        space.delete(pod);
    }
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
}
