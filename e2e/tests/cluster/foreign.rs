//! A cluster that has a CNI plugin of somebody else: it is taken by name, Manifold comes beside it, and goes without a trace.

use std::fs;

use serde_json::json;

use crate::bed::{Space, leases, ledger, text};
use crate::multus::sandbox;
use crate::other::{Other, PODNET, assert_given_back, content, wait_counted};
use crate::restarts::wait_forgotten;
use crate::upgrade::{NEXT, Next};

/// The next release comes under the pods; then the node is switched off and on. Its images stay as long as what is returned.
fn upgrade_and_reboot(other: &Other, space: &Space) -> Next {
    let node = other.node();
    let address = |pod: &str| space.exec(pod, &["ip", "-4", "-o", "address", "show", "dev", "net1"]);
    let before = address("two");
    let next = Next::load(other.cluster);
    next.roll(Some(NEXT));
    let installed = fs::read(node.path("/opt/cni/bin/manifold")).unwrap();
    assert!(installed == fs::read(next.file("manifold")).unwrap(), "the node has the next release");
    assert_eq!(address("two"), before, "a running pod is not touched");
    let old = ledger(node);
    other.cluster.reboot(node).unwrap();
    other.cluster.wait_node(node, true).unwrap();
    for (pod, interface) in [("two", "net1"), ("plain", "eth0")] {
        space.wait_anew(pod, interface);
    }
    other.cluster.wait_installed().unwrap();
    wait_forgotten(space, node, &old);
    assert_eq!(space.leases(node, "green").len(), 1, "the address of before is given back");
    next
}

// Proves: T-16, P-UP-11, F-NOD-8
#[test]
fn a_foreign_default_network_is_taken_by_name_and_its_folders_are_given_back_byte_for_byte() {
    let other = Other::start("foreign");
    let node = other.node();
    let before = content(node);
    other.install(&[]);

    let space = Space::on(other.cluster, "foreign");
    space.definition(
        "green",
        &json!({"cniVersion": "1.0.0", "name": space.network("green"), "type": "macvlan", "master": "eth0",
                "ipam": {"type": "host-local", "subnet": "10.66.0.0/24"}}),
    );
    space.pod("two", node, "green");
    space.wait_ready("two");
    let status = space.status("two");
    let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
    assert_eq!(told, ["eth0", "net1"]);
    assert!(other.ports().concat().contains("veth"), "the foreign bridge carries the pod");
    // One that outlives Manifold: who takes it down knows its network only.
    space.pod("plain", node, "");
    space.wait_ready("plain");
    let _next = upgrade_and_reboot(&other, &space);
    let plain = space.wait_ready("plain");
    wait_counted(&space, "green", "1");
    let refusal = other.cluster.uninstall().unwrap_err().to_string();
    assert!(refusal.contains(&format!("{}/two", space.name)), "{refusal}");
    assert!(node.path("/opt/cni/bin/manifold").exists(), "a refusal touches nothing");
    space.delete("two");
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
    wait_counted(&space, "green", "0");

    other.cluster.uninstall().unwrap();
    assert_given_back(node, &before);
    let left = sandbox(node, &space, "plain");
    assert!(ledger(node).contains(&left), "a Manifold that comes back would know the pod that is left");
    assert_eq!(leases(node, PODNET), [text(&plain, "/status/podIP")], "of all pods it alone is left");
    space.pod("next", node, "");
    let next = space.wait_ready("next");
    // The old pod, by one without Manifold.
    space.wait_reached("next", text(&plain, "/status/podIP"));
    assert_ne!(text(&next, "/status/podIP"), text(&plain, "/status/podIP"));
    for pod in ["plain", "next"] {
        space.delete(pod);
    }
    assert_eq!(leases(node, PODNET), Vec::<String>::new());
    assert_eq!(other.ports(), Vec::<String>::new());
}
