//! Kinds of links that many kernels of test machines lack; a guest kernel runs these.

use manifold_net::{BondSpec, IpvlanFlag, IpvlanMode, NewLink, TapSpec};

use crate::bed::{bed, cable, empty, names};

fn new(name: &str) -> NewLink<'_> {
    NewLink { name, ..NewLink::default() }
}

#[test]
fn an_ifb_is_made() {
    let net = empty();
    let made = net.add_ifb(&NewLink { mtu: Some(1400), up: true, ..new("ifb0") }).unwrap();
    assert!(made.is_kind("ifb") && made.up && made.mtu == 1400);
}

#[test]
fn a_tap_device_stays_and_its_name_is_not_taken_twice() {
    let bed = bed();
    let spec = TapSpec { name: "tap0", multi_queue: true, owner: Some(107), group: None };
    let made = bed.pod.add_tap(&spec).unwrap();
    assert!(made.is_kind("tun") && !made.up && made.mac.is_some());
    assert_eq!((names(&bed.pod), names(&bed.host)), (vec!["tap0".to_owned()], vec![]));
    assert!(bed.pod.add_tap(&spec).unwrap_err().is_exists());
    assert!(bed.pod.add_tap(&TapSpec { name: "lo", ..spec }).unwrap_err().is_exists());
    assert!(bed.pod.add_tap(&TapSpec { name: "", ..spec }).is_err());
    bed.pod.delete(made.index).unwrap();
    assert!(names(&bed.pod).is_empty());
}

#[test]
fn a_kind_the_kernel_lacks_is_unsupported() {
    let net = empty();
    // Wherever this runs, one of the two sentences holds.
    match net.add_dummy(&new("dummy0")) {
        Ok(made) => assert!(made.is_kind("dummy")),
        Err(error) => assert!(error.is_unsupported() && error.to_string().contains("`dummy0`"), "{error}"),
    }
}

#[test]
#[ignore = "needs a kernel with dummy, VLAN and ipvlan links: run it in the guest kernel"]
fn children_of_a_link_live_in_the_target_under_their_own_name() {
    let bed = bed();
    let (parent, _) = cable(&bed.host);
    bed.host.add_dummy(&new("net1")).unwrap();
    let there = |name| NewLink { target: Some(&bed.pod), up: true, ..new(name) };
    let vlan = bed.host.add_vlan(&there("net1"), parent.index, 100).unwrap();
    assert_eq!((vlan.vlan_id, vlan.peer_or_parent, vlan.up), (Some(100), Some(parent.index), true));
    for (name, mode) in [("ip0", IpvlanMode::L2), ("ip1", IpvlanMode::L2)] {
        let ipvlan = bed.host.add_ipvlan(&there(name), parent.index, mode, IpvlanFlag::Bridge).unwrap();
        assert_eq!((ipvlan.ipvlan_mode, ipvlan.mac), (Some(mode), parent.mac));
    }
    assert_eq!(names(&bed.pod), ["net1", "ip0", "ip1"]);
    assert!(bed.host.add_vlan(&there("net2"), parent.index, 100).unwrap_err().is_exists());
    assert_eq!(names(&bed.pod).len(), 3);
}

#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn the_modes_of_ipvlan_are_read_as_they_were_written() {
    for mode in [IpvlanMode::L3, IpvlanMode::L3s] {
        let net = empty();
        let (parent, _) = cable(&net);
        let made = net.add_ipvlan(&new("ip0"), parent.index, mode, IpvlanFlag::Vepa).unwrap();
        assert_eq!((made.ipvlan_mode, made.ipvlan_flag), (Some(mode), Some(IpvlanFlag::Vepa)));
    }
}

#[test]
#[ignore = "needs a kernel with VRF and bond links: run it in the guest kernel"]
fn masters_have_their_settings_and_members() {
    let net = empty();
    let vrf = net.add_vrf(&NewLink { up: true, ..new("blue") }, 70_000).unwrap();
    assert_eq!(vrf.vrf_table, Some(70_000));
    let spec = BondSpec {
        mode: 1,
        miimon: Some(100),
        fail_over_mac: Some(1),
        all_members_active: Some(true),
        tlb_dynamic_lb: None,
        xmit_hash_policy: Some(1),
    };
    let bond = net.add_bond(&new("bond0"), &spec).unwrap();
    assert_eq!(bond.bond_mode, Some(1));
    let (left, right) = cable(&net);
    net.set_down(left.index).unwrap();
    net.set_master(left.index, bond.index).unwrap();
    net.set_master(right.index, vrf.index).unwrap();
    assert_eq!(net.link("left").unwrap().unwrap().master, Some(bond.index));
    assert_eq!(net.link("right").unwrap().unwrap().master, Some(vrf.index));
}
