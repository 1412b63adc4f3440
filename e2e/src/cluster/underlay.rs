//! The wires between the machines: two switches on the control plane's machine, two network cards in every node.
//!
//! `eth0` carries the cluster; its switch has the control plane's address. `eth1` leads to a switch with nothing else on
//! it: the second network that pods are attached to.

use super::machine::Machine;

/// Where the API server listens.
pub(super) const CONTROL_PLANE: [u8; 4] = [172, 30, 0, 1];
/// The switches, by the network card of the nodes.
const SWITCHES: [(&str, &str); 2] = [("eth0", "br0"), ("eth1", "br1")];

/// The address of a node by its number, which counts from 1.
pub(super) fn node_address(number: usize) -> String {
    format!("172.30.0.{}", 10 + number)
}

pub(super) fn switches(control_plane: &Machine) -> anyhow::Result<()> {
    for (_, switch) in SWITCHES {
        control_plane.exec(&["ip", "link", "add", switch, "type", "bridge"])?;
        control_plane.exec(&["ip", "link", "set", switch, "up"])?;
    }
    control_plane.exec(&["ip", "address", "add", "172.30.0.1/24", "dev", "br0"]).map(drop)
}

pub(super) fn plug_in(control_plane: &Machine, node: &Machine, number: usize) -> anyhow::Result<()> {
    let switches_netns = control_plane.netns().display().to_string();
    for (card, switch) in SWITCHES {
        let wire = format!("{}-{card}", node.name());
        // The kernel takes its time over a namespace that has ended: the wire of a node that was switched off may still be here.
        control_plane.try_exec(&["ip", "link", "delete", &wire])?;
        node.exec(&["ip", "link", "add", card, "type", "veth", "peer", "name", &wire])?;
        // By its file: inside, the place where namespaces are mounted may not be seen.
        move_link(node, &wire, &switches_netns)?;
        control_plane.exec(&["ip", "link", "set", &wire, "master", switch, "up"])?;
        node.exec(&["ip", "link", "set", card, "up"])?;
    }
    let address = format!("{}/24", node_address(number));
    node.exec(&["ip", "address", "add", &address, "dev", "eth0"])?;
    node.exec(&["ip", "route", "add", "default", "via", "172.30.0.1"]).map(drop)
}

fn move_link(node: &Machine, wire: &str, netns: &str) -> anyhow::Result<()> {
    node.exec(&["ip", "link", "set", wire, "netns", netns]).map(drop)
}
