//! `vlan`: one VLAN of a link as the pod's own.

use serde_json::{Value, json};

use crate::bed::{Bed, runs, same, with};

fn conf(id: u16, ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "gold", "type": "vlan", "master": "up0", "vlanId": id, "ipam": ipam})
}

/// A host with a cable from `up0` to `up1`.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    bed
}

// Proves: PLG-VLAN-1, PLG-VLAN-2, PLG-VLAN-5, PLG-COM-7
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn packets_pass_within_the_tag_and_not_beyond() {
    let bed = bed();
    bed.sh("ip link add eth0 type veth peer name other");
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    let conf = conf(100, bed.host_local("10.1.0.0/24"));
    let first = bed.add(&conf, &a).unwrap();
    let same_tag = bed.add(&with(&conf, json!({"master": "up1"})), &b).unwrap();
    let other_tag = bed.add(&with(&conf, json!({"master": "up1", "vlanId": 200})), &c).unwrap();
    assert_eq!(first.interfaces.len(), 1);
    let interface = &first.interfaces[0];
    assert_eq!((interface.name.as_str(), interface.sandbox.as_str()), ("eth0", a.path().to_str().unwrap()));
    assert_eq!((first.ips[0].interface, interface.mtu), (Some(0), Some(1500)));
    let link = a.sh("ip -d -o link show eth0");
    assert!(link.contains("vlan protocol 802.1Q id 100") && link.contains(&interface.mac), "{link}");
    assert_eq!(
        bed.sh("cat /proc/net/vlan/config | grep -c up0 || true"),
        "0",
        "nothing of it is in the host"
    );
    assert!(a.pings(&same_tag.ips[0].address.addr().to_string()));
    assert!(a.pings_not(&other_tag.ips[0].address.addr().to_string()));
    bed.check(&conf, &a, &first).unwrap();
    assert!(!bed.sh("ip -o link").contains("tmp"));
    for bad in
        [json!({"vlanId": -1}), json!({"vlanId": 4095}), json!({"vlanId": null}), json!({"master": null})]
    {
        assert_eq!(bed.add(&with(&conf, bad.clone()), &bed.pod("d")).unwrap_err().code, 7, "{bad}");
    }
}

// Proves: PLG-VLAN-3
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn the_mtu_is_at_most_the_masters() {
    let bed = bed();
    bed.sh("ip link set up0 mtu 1400");
    for (id, asked, found) in [(1, 0, 1400), (2, 1400, 1400), (3, 1300, 1300)] {
        let pod = bed.pod("a");
        let conf = with(&conf(id, json!({})), json!({"mtu": asked}));
        let result = bed.add(&conf, &pod).unwrap();
        assert!(pod.sh("ip link show eth0").contains(&format!("mtu {found} ")));
        bed.check(&conf, &pod, &result).unwrap();
    }
    let pod = bed.pod("a");
    let before = pod.state();
    let above = bed.add(&with(&conf(4, json!({})), json!({"mtu": 1401})), &pod).unwrap_err();
    assert!(above.code == 7 && above.msg.contains("use 0 to 1400"), "{above}");
    assert_eq!(bed.add(&with(&conf(4, json!({})), json!({"mtu": -1})), &pod).unwrap_err().code, 7);
    same("pod", &before, &pod.state());
}

// Proves: PLG-VLAN-4
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn the_master_may_be_inside_the_container_and_ipam_be_absent() {
    let bed = bed();
    let pod = bed.pod("a");
    pod.sh("ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up");
    let conf = with(
        &conf(7, json!({})),
        json!({"master": "in0", "linkInContainer": true, "dns": {"nameservers": ["10.0.0.53"]}}),
    );
    let result = bed.add_as(&conf, &pod, "net1", "").unwrap();
    assert!(pod.sh("ip -o link show net1").contains("net1@in0"));
    assert!(runs(&pod.netns, "ip -o link show net1 up | grep -q net1") && result.ips.is_empty());
    assert_eq!(result.dns.nameservers, ["10.0.0.53"]);
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
    let error = bed.add_as(&with(&conf, json!({"linkInContainer": false})), &pod, "net2", "").unwrap_err();
    assert!(error.msg.contains("no link `in0`"), "{error}");
}

// Proves: PLG-VLAN-6
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn a_vlan_of_a_master_is_given_once_and_a_failing_ipam_leaves_none() {
    let bed = bed();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf = conf(100, bed.host_local("10.1.0.0/24"));
    bed.add(&conf, &a).unwrap();
    let (host, inside) = (bed.state(), b.state());
    let error = bed.add(&conf, &b).unwrap_err();
    assert!(error.msg.contains("VLAN 100 of the master `up0` is in use already"), "{error}");
    let taken = bed.add(&with(&conf, json!({"vlanId": 101})), &a).unwrap_err();
    assert!(taken.msg.contains("has an interface `eth0` already"), "{taken}");
    let full = json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": [[{"subnet": "10.2.0.0/30", "rangeStart": "10.2.0.1", "rangeEnd": "10.2.0.1"}]]});
    bed.add(&with(&conf, json!({"vlanId": 102, "ipam": full})), &b).unwrap_err();
    bed.sh("ip link set up0 down");
    let down = bed.add(&with(&conf, json!({"vlanId": 103})), &b).unwrap_err();
    assert!(down.msg.contains("the master `up0` is down"), "{down}");
    bed.sh("ip link set up0 up");
    same("host", &host, &bed.state());
    same("pod", &inside, &b.state());
}

// Proves: PLG-VLAN-7, PLG-COM-11, PLG-COM-13
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn check_notices_every_fact_that_has_changed() {
    let bed = bed();
    let pod = bed.pod("a");
    let ipam = with(&bed.host_local("10.1.0.0/24"), json!({"routes": [{"dst": "10.9.0.0/16"}]}));
    let conf = with(&conf(100, ipam), json!({"mtu": 1400}));
    let result = bed.add(&conf, &pod).unwrap();
    bed.check(&conf, &pod, &result).unwrap();
    let mac = result.interfaces[0].mac.clone();
    for (break_it, mend_it, complaint) in [
        ("ip link set eth0 mtu 1300", "ip link set eth0 mtu 1400", "has MTU 1300"),
        (
            "ip link set eth0 address 02:00:00:00:00:09",
            &*format!("ip link set eth0 address {mac}"),
            "MAC address",
        ),
        ("ip route del 10.9.0.0/16", "ip route add 10.9.0.0/16 via 10.1.0.1", "no route to `10.9.0.0/16`"),
        ("ip addr flush dev eth0", "", "has lost address"),
    ] {
        pod.sh(break_it);
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "{break_it}: {error}");
        pod.sh(if mend_it.is_empty() { "true" } else { mend_it });
    }
    pod.sh("ip addr add 10.1.0.2/24 dev eth0; ip route add 10.9.0.0/16 via 10.1.0.1");
    bed.check(&conf, &pod, &result).unwrap();
    assert!(
        bed.check(&with(&conf, json!({"vlanId": 101})), &pod, &result).unwrap_err().msg.contains("VLAN 101")
    );
    bed.sh("ip link set up0 name up9");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not on the master `up0`"));
    bed.sh("ip link set up9 name up0");
    pod.sh("ip link del eth0; ip link add eth0 type veth peer name x");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not a vlan link"));
    std::fs::remove_file(bed.leases.path().join("gold/10.1.0.2")).unwrap();
    assert!(bed.check(&conf, &pod, &result).is_err(), "IPAM is checked too");
}

// Proves: PLG-VLAN-8
#[test]
#[ignore = "needs a kernel with VLAN links: run it in the guest kernel"]
fn del_after_the_master_is_gone_succeeds() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(100, bed.host_local("10.1.0.0/24"));
    bed.add(&conf, &pod).unwrap();
    bed.sh("ip link del up0");
    for _ in 0..2 {
        bed.del(&conf, &pod).unwrap();
        assert_eq!(bed.lease_files(), [""; 0]);
        assert!(!runs(&pod.netns, "ip link show eth0"));
    }
}
