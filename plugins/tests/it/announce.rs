//! An address that another pod has now: neighbours that remember the former owner learn of the new one at once.

use std::time::Instant;

use manifold_net::Netns;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, runs, sh, with};

const ADDRESSES: [&str; 2] = ["10.1.0.50", "fd00:1::50"];

fn ipam(host: u8, gateway: bool) -> Value {
    let address = |net: &str, length: u8| {
        let address = json!({"address": format!("{net}{host}/{length}")});
        if gateway { with(&address, json!({"gateway": format!("{net}1")})) } else { address }
    };
    json!({"type": "static", "addresses": [address("10.1.0.", 24), address("fd00:1::", 64)]})
}

/// Pings until an answer comes, so that the neighbour remembers the owner.
#[track_caller]
fn get_to_know(netns: &Netns) {
    let deadline = Instant::now() + PATIENCE;
    for address in ADDRESSES {
        while !runs(netns, &format!("ping -n -c 1 -W 1 {address}")) {
            assert!(Instant::now() < deadline, "{address} does not answer");
        }
    }
}

/// Waits until the neighbour knows the new owner, and sends nothing that could make it ask. On a slow machine the kernel may
/// have forgotten the former one by then, and asks anew: what must not stay is the former one's address.
#[track_caller]
fn hears_of(netns: &Netns, link: &str, mac: &str) {
    let deadline = Instant::now() + PATIENCE / 9;
    for address in ADDRESSES {
        let entry = || sh(netns, &format!("ip neigh show {address} dev {link}"));
        loop {
            let known = entry();
            if known.trim().is_empty() || known.contains(mac) {
                break;
            }
            assert!(Instant::now() < deadline, "{address} is not at {mac}: {known}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

// Proves: COMPAT-13
#[test]
fn the_neighbours_and_the_host_of_a_bridge_hear_of_a_new_owner() {
    for further in [json!({"isGateway": true}), json!({"isGateway": true, "enabledad": true})] {
        let bed = Bed::new();
        let conf = |host| {
            let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0"});
            with(&with(&conf, further.clone()), json!({"ipam": ipam(host, true)}))
        };
        let [old, peer, new] = ["old", "peer", "new"].map(|id| bed.pod(id));
        bed.add(&conf(50), &old).unwrap();
        bed.add(&conf(60), &peer).unwrap();
        for netns in [&peer.netns, &bed.host] {
            get_to_know(netns);
        }
        bed.del(&conf(50), &old).unwrap();
        let result = bed.add(&conf(50), &new).unwrap();
        let mac = &result.interfaces[2].mac;
        hears_of(&peer.netns, "eth0", mac);
        hears_of(&bed.host, "br0", mac);
    }
}

// Proves: COMPAT-37
#[test]
fn the_neighbours_on_a_bridge_with_a_spanning_tree_hear_of_a_new_owner() {
    let bed = Bed::new();
    // The shortest delay that the kernel takes: two seconds, in hundredths.
    bed.sh("ip link add br0 type bridge; ip link set br0 type bridge stp_state 1 forward_delay 200; ip link set br0 up");
    let conf = |host| {
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
            "ipam": ipam(host, true)})
    };
    let [old, peer, new] = ["old", "peer", "new"].map(|id| bed.pod(id));
    bed.add(&conf(50), &old).unwrap();
    bed.add(&conf(60), &peer).unwrap();
    get_to_know(&peer.netns);
    bed.del(&conf(50), &old).unwrap();
    let result = bed.add(&conf(50), &new).unwrap();
    hears_of(&peer.netns, "eth0", &result.interfaces[2].mac);
    // A tree that takes longer than an ADD may holds up no pod.
    bed.sh("ip link set br0 type bridge forward_delay 3000");
    bed.add(&conf(70), &bed.pod("late")).unwrap();
}

// Proves: COMPAT-13
#[test]
fn the_neighbours_of_a_device_and_of_a_macvlan_hear_of_a_new_owner() {
    // Without a gateway nothing waits for duplicate detection, and the kernel announces after it.
    for (gateway, kind) in
        [(true, "host-device"), (false, "host-device"), (true, "macvlan"), (false, "macvlan")]
    {
        let bed = Bed::new();
        bed.sh("ip link add br0 type bridge; ip addr add 10.1.0.250/24 dev br0
            ip addr add fd00:1::250/64 dev br0 nodad; ip link set br0 up");
        for n in [0, 1] {
            bed.sh(&format!(
                "ip link add dev{n} type veth peer name wire{n}; ip link set wire{n} master br0 up; ip link set dev{n} up"
            ));
        }
        let conf = |n: u8| {
            let key = if kind == "macvlan" { "master" } else { "device" };
            json!({"cniVersion": "1.1.0", "name": "steel", "type": kind, key: format!("dev{n}"),
                "ipam": ipam(50, gateway)})
        };
        moves(&bed, "br0", &conf(0), &conf(1));
    }
}

/// One pod ends, and another gets its addresses over the other link.
#[track_caller]
fn moves(bed: &Bed, neighbour: &str, before: &Value, after: &Value) {
    let [old, new]: [Pod; 2] = ["old", "new"].map(|id| bed.pod(id));
    bed.add(before, &old).unwrap();
    get_to_know(&bed.host);
    bed.del(before, &old).unwrap();
    let result = bed.add(after, &new).unwrap();
    hears_of(&bed.host, neighbour, &result.interfaces[0].mac);
}

// Proves: COMPAT-13
#[test]
#[ignore = "needs a kernel with VLAN and bond links: run it in the guest kernel"]
fn the_neighbours_of_a_vlan_and_of_a_bond_hear_of_a_new_owner() {
    for kind in ["vlan", "bond"] {
        let bed = Bed::new();
        bed.sh(
            "ip link add br0 type bridge; ip link set br0 up; ip link add link br0 name seen type vlan id 7",
        );
        for n in 0..4 {
            bed.sh(&format!(
                "ip link add up{n} type veth peer name far{n}; ip link set up{n} up; ip link set far{n} master br0 up"
            ));
        }
        let neighbour = if kind == "vlan" { "seen" } else { "br0" };
        bed.sh(&format!(
            "ip addr add 10.1.0.250/24 dev {neighbour}; ip addr add fd00:1::250/64 dev {neighbour} nodad
             ip link set {neighbour} up"
        ));
        let conf = |n: u8| {
            let own = match kind {
                "vlan" => json!({"master": format!("up{n}"), "vlanId": 7}),
                _ => {
                    let members = [n, n + 2].map(|n| json!({"name": format!("up{n}")}));
                    json!({"mode": "active-backup", "miimon": "100", "links": members})
                }
            };
            let conf = json!({"cniVersion": "1.1.0", "name": "gold", "type": kind, "ipam": ipam(50, true)});
            with(&conf, own)
        };
        moves(&bed, neighbour, &conf(0), &conf(1));
    }
}
