//! Nodes and runtimes that end and start again.

use crate::bed::{Space, ledger, text};

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
    let before: Vec<String> = ["one", "two", "three"]
        .iter()
        .map(|pod| text(&space.wait_ready(pod), "/status/podIP").to_owned())
        .collect();
    let old = ledger(node);
    space.cluster.reboot(node).unwrap();
    space.cluster.wait_node(node, true).unwrap();
    for pod in ["one", "two", "three"] {
        let what = format!("`{pod}` to run in a new sandbox");
        space
            .cluster
            .wait(&what, || {
                let said = space.cluster.exec(&space.name, pod, &["ip", "-4", "-o", "address"])?;
                Ok((said.contains(" eth0 ") && said.contains(" net1 ")).then_some(()))
            })
            .unwrap();
    }
    let now = ledger(node);
    assert!(old.iter().all(|sandbox| !now.contains(sandbox)), "old sandboxes are known to be gone");
    assert_eq!(space.leases(node, "green").len(), 3, "the old leases are back");
    assert_eq!(before.len(), 3);
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
    let said = space.cluster.wait("the pod to answer", || {
        space
            .cluster
            .exec(&space.name, "old", &["ip", "-4", "-o", "address", "show", "dev", "net1"])
            .map(Some)
    });
    assert!(said.unwrap().contains("10.64."), "its networks are as they were");
    assert_eq!(text(&space.wait_ready("old"), "/status/podIP"), text(&pod, "/status/podIP"));
    space.pod("new", node, &space.network("green"));
    space.wait_ready("new");
    for pod in ["old", "new"] {
        space.delete(pod);
    }
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
}
