//! `bond`: several links as one.

use manifold_plugins::interface::Bond;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, fail_at, failing, input, runs, same, with, with_result};

/// Of members in the container.
fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "team", "type": "bond", "mode": "active-backup", "miimon": "100",
        "linksInContainer": true, "links": [{"name": "net1"}, {"name": "net2"}], "ipam": ipam})
}

/// Two pods with two cables between them.
fn pods(bed: &Bed) -> (Pod, Pod) {
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    for name in ["net1", "net2"] {
        a.sh(&format!("ip link add {name} type veth peer name there netns {}", b.path().display()));
        b.sh(&format!("ip link set there name {name}; ip link set {name} up"));
        a.sh(&format!("ip link set {name} up"));
    }
    (a, b)
}

/// A host whose devices `dev1` and `dev2` lead to one bridge, with somebody on it.
fn wired_host() -> Bed {
    let bed = Bed::new();
    bed.sh(
        "ip link add br0 type bridge; ip link set br0 up; ip addr add 10.1.0.250/24 dev br0
         for n in 1 2; do ip link add dev$n type veth peer name wire$n; ip link set wire$n master br0 up; done",
    );
    bed
}

fn of_host(ipam: Value) -> Value {
    with(&conf(ipam), json!({"linksInContainer": false, "links": [{"name": "dev1"}, {"name": "dev2"}]}))
}

/// A failover takes the kernel a look at the carrier.
#[track_caller]
fn pings_soon(pod: &Pod, address: &str) {
    assert!((0..3).any(|_| pod.pings(address)), "{}", pod.state());
}

// Proves: PLG-BOND-6, PLG-BOND-7, PLG-BOND-8, PLG-COM-14
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn packets_pass_with_one_member_down_and_the_members_are_free_after_del() {
    let bed = Bed::new();
    let (a, b) = pods(&bed);
    let before = a.state();
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"dns": {"nameservers": ["10.0.0.53"]}}));
    let result = bed.add_as(&conf, &a, "bond0", "").unwrap();
    let other = bed.add_as(&conf, &b, "bond0", "").unwrap();
    assert_eq!((result.interfaces.len(), result.ips[0].interface), (1, Some(0)));
    assert_eq!(result.dns.nameservers, ["10.0.0.53"]);
    let link = a.sh("ip -d -o link show bond0");
    assert!(link.contains("bond mode active-backup") && link.contains("miimon 100"), "{link}");
    assert!(link.contains(&result.interfaces[0].mac), "{link}");
    let there = other.ips[0].address.addr().to_string();
    pings_soon(&a, &there);
    bed.check_as(&conf, &a, "bond0", &result).unwrap();
    a.sh("ip link set net1 down");
    pings_soon(&a, &there);
    b.sh("ip link set net1 up; ip link set net2 down");
    a.sh("ip link set net1 up");
    pings_soon(&a, &there);
    a.sh("ip link set net2 nomaster");
    let error = bed.check_as(&conf, &a, "bond0", &result).unwrap_err();
    assert!(error.msg.contains("lost its member `net2`"), "{error}");
    let other_mode = with(&conf, json!({"mode": "balance-rr"}));
    assert!(bed.check_as(&other_mode, &a, "bond0", &result).unwrap_err().msg.contains("its mode"));
    for _ in 0..2 {
        let conf = with_result(&conf, &result);
        bed.del_at(&conf, &a.at("bond0", "").detach()).unwrap();
        assert!(!runs(&a.netns, "ip link show bond0"));
    }
    a.sh("ip link set net2 up");
    same("pod", &before, &a.state());
    b.sh("ip link del net1");
    bed.del_at(&conf, &b.at("bond0", "").detach()).unwrap();
    assert!(!runs(&b.netns, "ip link show bond0"), "a member that is gone is tolerated");
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-BOND-2, PLG-BOND-6, PLG-BOND-7
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn members_of_the_host_come_along_and_go_back() {
    let bed = wired_host();
    let before = bed.state();
    let conf = with(&of_host(bed.host_local("10.1.0.0/24")), json!({"failOverMac": 1}));
    let pod = bed.pod("a");
    let inside = pod.state();
    let result = bed.add(&conf, &pod).unwrap();
    assert_eq!(pod.sh("ip -o link show master eth0 | wc -l"), "2");
    assert!(!runs(&bed.host, "ip link show dev1"));
    pings_soon(&pod, "10.1.0.250");
    bed.sh("ip link set wire1 down");
    pings_soon(&pod, "10.1.0.250");
    bed.check(&conf, &pod, &result).unwrap();
    for _ in 0..2 {
        bed.del(&with_result(&conf, &result), &pod).unwrap();
        same("pod", &inside, &pod.state());
    }
    bed.sh("ip link set wire1 up");
    bed.becomes("host", &before);
    bed.add(&conf, &pod).unwrap();
    let at = pod.without_netns(None);
    drop(pod);
    bed.del_at(&conf, &at).unwrap();
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-BOND-6, PLG-BOND-7, PLG-COM-16
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn an_add_that_fails_at_any_step_puts_every_member_back() {
    let bed = wired_host();
    let plugin = Bond { after_step: failing };
    let before = bed.state();
    let (inner, _other) = pods(&bed);
    for (conf, pod) in [
        (of_host(bed.host_local("10.1.0.0/24")), &bed.pod("c")),
        (conf(bed.host_local("10.1.0.0/24")), &inner),
    ] {
        let inside = pod.state();
        for step in 0.. {
            let outcome = bed.host.run(|| {
                fail_at(step);
                manifold_cni::Plugin::add(&plugin, &input(&conf), &pod.at("eth0", ""))
            });
            fail_at(usize::MAX);
            let Err(error) = outcome.unwrap() else {
                assert!(step >= 6, "{step}");
                bed.del(&conf, pod).unwrap();
                break;
            };
            assert!(error.msg.starts_with("injected after `") && error.details.is_empty(), "{error}");
            same(&format!("host: {error}"), &before, &bed.state());
            same(&format!("pod: {error}"), &inside, &pod.state());
        }
    }
}

// Proves: PLG-BOND-6
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn members_with_one_mac_address_get_different_ones() {
    let bed = Bed::new();
    let (a, _b) = pods(&bed);
    a.sh("ip link set net1 address 02:00:00:00:00:77; ip link set net2 address 02:00:00:00:00:77");
    let conf = with(&conf(json!({})), json!({"failOverMac": 1}));
    let result = bed.add_as(&conf, &a, "bond0", "").unwrap();
    assert!(result.ips.is_empty() && a.sh("ip -o link show net1").contains("02:00:00:00:00:77"));
    let second = a.sh("ip -o link show net2 | sed -E 's/.*ether ([0-9a-f:]+).*/\\1/'");
    assert_ne!(second, "02:00:00:00:00:77");
    bed.check_as(&conf, &a, "bond0", &result).unwrap();
}

// Proves: PLG-BOND-1, PLG-BOND-3, PLG-BOND-4
#[test]
#[ignore = "needs a kernel with bond links: run it in the guest kernel"]
fn every_mode_and_option_reaches_the_kernel() {
    let modes =
        ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
    for mode in modes {
        let bed = Bed::new();
        let (a, _b) = pods(&bed);
        let conf = with(
            &conf(json!({})),
            json!({"mode": mode, "miimon": 50, "mtu": 1400, "allSlavesActive": 1, "xmitHashPolicy": "layer2+3"}),
        );
        let conf = if mode == "balance-tlb" { with(&conf, json!({"tlbDynamicLb": 0})) } else { conf };
        bed.add_as(&conf, &a, "bond0", "").unwrap();
        let link = a.sh("ip -d -o link show bond0");
        for part in [
            &format!("mode {mode}"),
            "miimon 50",
            "mtu 1400",
            "all_slaves_active 1",
            "xmit_hash_policy layer2+3",
        ] {
            assert!(link.contains(part), "{part}: {link}");
        }
        assert!(mode != "balance-tlb" || link.contains("tlb_dynamic_lb 0"), "{link}");
    }
}

// Proves: PLG-BOND-2, PLG-BOND-3, PLG-BOND-5, PLG-BOND-8
#[test]
fn what_cannot_be_a_bond_is_refused_before_anything_is_touched() {
    let bed = Bed::new();
    let (a, _b) = pods(&bed);
    let (host, inside) = (bed.state(), a.state());
    for (further, code, complaint) in [
        (json!({"links": [{"name": "net1"}]}), 7, "at least two"),
        (json!({"links": [{"name": "net1"}, {"name": "net9"}]}), 100, "before this one"),
        (
            json!({"links": [{"name": "net1"}, {"name": "x"}], "linksInContainer": false}),
            100,
            "the host has no link `net1`",
        ),
        (json!({"mode": "fastest"}), 7, "not a bond mode"),
        (json!({"mtu": 67}), 7, "below 68"),
        (json!({"mtu": 1501}), 7, "above the 1500 of the member `net1`"),
        (json!({"ipam": {"type": "bond"}}), 7, "gives no addresses"),
    ] {
        let error = bed.add_as(&with(&conf(json!({})), further), &a, "bond0", "").unwrap_err();
        assert!(error.code == code && error.msg.contains(complaint), "{error}");
    }
    assert!(
        bed.add_as(&conf(json!({})), &a, "net1", "").unwrap_err().msg.contains("has an interface `net1`")
    );
    same("host", &host, &bed.state());
    same("pod", &inside, &a.state());
    bed.del(&conf(json!({})), &a).unwrap();
}
