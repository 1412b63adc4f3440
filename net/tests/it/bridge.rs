use manifold_net::{BridgePort, BridgeSpec, BridgeVlan, Mac, Net, VlanOwner};

use crate::bed::{cable, empty};

/// A bridge with one port: (bridge, port).
fn switch(net: &Net, vlan_filtering: bool) -> (u32, u32) {
    let spec = BridgeSpec { name: "br0", vlan_filtering, up: true, ..BridgeSpec::default() };
    let bridge = net.add_bridge(&spec).unwrap();
    let (port, _) = cable(net);
    net.set_master(port.index, bridge.index).unwrap();
    (bridge.index, port.index)
}

#[test]
fn a_bridge_is_made_as_asked() {
    let net = empty();
    let mac: Mac = "02:00:00:00:00:09".parse().unwrap();
    let spec = BridgeSpec { name: "br0", mac: Some(mac), mtu: Some(1400), ..BridgeSpec::default() };
    let bridge = net.add_bridge(&spec).unwrap();
    assert_eq!((bridge.mac, bridge.mtu, bridge.vlan_filtering), (Some(mac), 1400, Some(false)));
    assert!(bridge.is_kind("bridge") && !bridge.up);
}

#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn a_bridge_that_filters_vlans_says_so() {
    let net = empty();
    let spec = BridgeSpec { name: "br0", vlan_filtering: true, up: true, ..BridgeSpec::default() };
    let bridge = net.add_bridge(&spec).unwrap();
    assert!(bridge.up && bridge.vlan_filtering == Some(true));
}

#[test]
fn ports_join_leave_and_take_their_settings() {
    let net = empty();
    let (bridge, port) = switch(&net, false);
    let read = || net.link_by_index(port).unwrap().unwrap();
    let port_is = |hairpin, isolated| Some(BridgePort { forwarding: true, hairpin, isolated });
    assert_eq!((read().master, read().bridge_port), (Some(bridge), port_is(false, false)));
    // The bridge listens promiscuously on its ports; that is not anyone's wish for this link.
    assert!(!read().promisc);
    net.set_hairpin(port, true).unwrap();
    net.set_isolated(port, true).unwrap();
    assert_eq!(read().bridge_port, port_is(true, true));
    net.set_hairpin(port, false).unwrap();
    assert_eq!(read().bridge_port, port_is(false, true));
    net.clear_master(port).unwrap();
    assert_eq!((read().master, read().bridge_port), (None, None));
    assert!(net.set_hairpin(port, true).is_err());
}

#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn vlans_of_a_port_are_added_listed_and_removed() {
    let net = empty();
    let (_, port) = switch(&net, true);
    assert_eq!(net.bridge_vlans(port).unwrap(), [BridgeVlan::access(1)]);
    net.del_bridge_vlans(VlanOwner::Port(port), &[BridgeVlan::access(1)]).unwrap();
    assert!(net.bridge_vlans(port).unwrap().is_empty());
    let vlans = [BridgeVlan::access(10), BridgeVlan::tagged(20), BridgeVlan::tagged_range(100, 103)];
    net.add_bridge_vlans(VlanOwner::Port(port), &vlans).unwrap();
    assert_eq!(net.bridge_vlans(port).unwrap(), vlans);
    net.del_bridge_vlans(VlanOwner::Port(port), &[BridgeVlan::tagged_range(101, 102)]).unwrap();
    assert_eq!(
        net.bridge_vlans(port).unwrap(),
        [BridgeVlan::access(10), BridgeVlan::tagged(20), BridgeVlan::tagged(100), BridgeVlan::tagged(103)]
    );
    net.add_bridge_vlans(VlanOwner::Port(port), &[]).unwrap();
}

#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn the_bridge_itself_has_vlans_too() {
    let net = empty();
    let (bridge, port) = switch(&net, true);
    net.add_bridge_vlans(VlanOwner::Bridge(bridge), &[BridgeVlan::tagged(30)]).unwrap();
    assert_eq!(net.bridge_vlans(bridge).unwrap(), [BridgeVlan::access(1), BridgeVlan::tagged(30)]);
    assert_eq!(net.bridge_vlans(port).unwrap(), [BridgeVlan::access(1)]);
    net.del_bridge_vlans(VlanOwner::Bridge(bridge), &[BridgeVlan::tagged(30)]).unwrap();
    assert_eq!(net.bridge_vlans(bridge).unwrap(), [BridgeVlan::access(1)]);
}

#[test]
fn impossible_vlans_are_refused_before_the_kernel_sees_them() {
    let net = empty();
    let (_, port) = switch(&net, false);
    for vlan in [BridgeVlan::tagged(0), BridgeVlan::tagged(4095), BridgeVlan::tagged_range(5, 4)] {
        let error = net.add_bridge_vlans(VlanOwner::Port(port), &[vlan]).unwrap_err().to_string();
        assert!(error.contains("1-4094"), "{error}");
    }
}

#[test]
fn the_forwarding_table_names_the_ports_own_addresses() {
    let net = empty();
    let (_, port) = switch(&net, false);
    let mac = net.link_by_index(port).unwrap().unwrap().mac;
    let entries = net.forwarding_entries().unwrap();
    assert!(entries.iter().any(|e| e.index == port && e.mac == mac && e.permanent), "{entries:?}");
}
