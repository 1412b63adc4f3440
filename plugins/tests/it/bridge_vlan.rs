//! `bridge` with VLANs. Many kernels of small machines are built without VLAN filtering, so these tests are run by name
//! (`--ignored`) where the kernel has it, such as in a guest.

use manifold_cni::CniResult;
use serde_json::json;

use crate::bed::{Bed, with};
use crate::bridge::{address_of, conf, l2, port_of};

// Proves: PLG-BRIDGE-12
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn a_bridge_that_is_there_does_not_begin_to_filter() {
    let bed = Bed::new();
    bed.sh("ip link add br0 type bridge");
    bed.add(&with(&l2(), json!({"vlan": 7})), &bed.pod("a")).unwrap();
    assert!(bed.sh("ip -d link show br0").contains("vlan_filtering 0"));
}

// Proves: PLG-BRIDGE-7, PLG-BRIDGE-13
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn vlans_isolate_pods_of_one_bridge() {
    let bed = Bed::new();
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let red = bed.add(&with(&conf, json!({"vlan": 100})), &a).unwrap();
    let same = bed.add(&with(&conf, json!({"vlan": 100})), &b).unwrap();
    let blue = bed.add(&with(&conf, json!({"vlan": 200})), &c).unwrap();
    assert!(bed.sh("ip -d link show br0").contains("vlan_filtering 1"));
    assert!(a.pings(&address_of(&same)));
    assert!(a.pings_not(&address_of(&blue)));
    let vlans = bed.sh(&format!("bridge vlan show dev {}", port_of(&red)));
    assert!(vlans.contains("100 PVID Egress Untagged"), "{vlans}");
    assert_eq!(vlans.lines().count(), 2, "the default VLAN is gone: {vlans}");
}

// Proves: PLG-BRIDGE-8, PLG-BRIDGE-9, PLG-BRIDGE-13
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn a_trunk_carries_its_vlans_tagged_and_the_default_as_asked() {
    let bed = Bed::new();
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    let vlans = |result: &CniResult| -> Vec<String> {
        let text = bed.sh(&format!("bridge vlan show dev {}", port_of(result)));
        text.lines()
            .skip(1)
            .map(|l| l.split_whitespace().filter(|w| !w.starts_with("veth")).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let trunk = json!([{"minID": 10, "maxID": 12}, {"id": 20}, {"id": 11}]);
    let only = bed.add(&with(&l2(), json!({"vlanTrunk": trunk})), &a).unwrap();
    assert_eq!(vlans(&only), ["1 PVID Egress Untagged", "10", "11", "12", "20"]);
    let both = bed.add(&with(&l2(), json!({"vlanTrunk": [{"id": 20}], "vlan": 30})), &b).unwrap();
    assert_eq!(vlans(&both), ["20", "30 PVID Egress Untagged"]);
    let kept = bed.add(&with(&l2(), json!({"vlan": 30, "preserveDefaultVlan": true})), &c).unwrap();
    assert_eq!(vlans(&kept), ["1 Egress Untagged", "30 PVID Egress Untagged"]);
}

// Proves: PLG-BRIDGE-17, PLG-BRIDGE-20
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn the_gateway_of_a_vlan_is_an_interface_of_its_own_made_once() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"vlan": 100, "isGateway": true}));
    let result = bed.add(&conf, &a).unwrap();
    let names: Vec<_> = result.interfaces.iter().map(|i| i.name.as_str()).collect();
    assert!(matches!(names[..], ["br0", _, "eth0", "br0.100"]), "{names:?}");
    assert!(bed.sh("ip -o addr show br0.100").contains("10.1.0.1/24"));
    assert!(!bed.sh("ip -o addr show br0").contains("10.1.0.1"));
    assert!(a.pings("10.1.0.1"));
    let again = bed.add(&conf, &b).unwrap();
    assert_eq!(again.interfaces[3], result.interfaces[3]);
    assert!(b.pings("10.1.0.1") && b.pings(&address_of(&result)));
    assert_eq!(bed.sh("ip -o link show type veth").lines().count(), 4);
    bed.check(&conf, &a, &result).unwrap();
    bed.del(&conf, &a).unwrap();
    assert!(b.pings("10.1.0.1"), "the VLAN's interface stays");
}

// Proves: PLG-BRIDGE-17
#[test]
#[ignore = "needs a kernel with bridge VLAN filtering: run it in the guest kernel"]
fn what_a_killed_add_left_of_the_gateway_of_a_vlan_is_completed() {
    for half in [
        "ip link add br0.100 type veth peer name half",
        "ip link add br0.100 type veth peer name half; ip link set half master br0 up",
    ] {
        let bed = Bed::new();
        bed.sh("ip link add br0 type bridge vlan_filtering 1");
        bed.sh(half);
        let pod = bed.pod("a");
        let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"vlan": 100, "isGateway": true}));
        bed.add(&conf, &pod).unwrap();
        assert!(pod.pings("10.1.0.1"), "{half}: {}", bed.state());
    }
}
