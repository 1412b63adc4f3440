//! `vrf`: tables, members, and two networks of one pod with the same addresses.

use manifold_cni::Version;
use manifold_plugins::meta::{VRF, Vrf};
use serde_json::{Value, json};

use super::chained;
use crate::bed::{Bed, Pod, fail_at, failing, input, same, with, with_result};

fn bridge(bed: &Bed, name: &str) -> Value {
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "10.77.0.0/16"}, {"dst": "fd77::/64"}],
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    json!({"cniVersion": "1.1.0", "name": name, "type": "bridge", "bridge": format!("br-{name}"), "isGateway": true, "ipam": ipam})
}

fn vrf(name: &str, further: Value) -> Value {
    with(&chained("vrf", further), json!({"vrfname": name}))
}

fn add(bed: &Bed, conf: &Value, pod: &Pod, ifname: &str) -> Result<(), manifold_cni::CniError> {
    let name = conf["vrfname"].as_str().unwrap();
    let made = bed.add_as(&bridge(bed, name), pod, ifname, "").unwrap();
    let result = bed.add_as(&with_result(conf, &made), pod, ifname, "")?;
    assert_eq!(result, made);
    bed.check_as(conf, pod, ifname, &result)
}

// Proves: PLG-VRF-1, PLG-VRF-3, PLG-VRF-4
#[test]
#[ignore = "needs a kernel with VRF links: run it in the guest kernel"]
fn addresses_and_routes_come_along_and_two_networks_may_have_the_same_ones() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    pod.sh("ip link add other type vrf table 1");
    add(&bed, &vrf("blue", json!({})), &pod, "net1").unwrap();
    let red = Bed::new(); // Another host's network with the very addresses.
    add(&red, &vrf("red", json!({"table": 1001})), &pod, "net2").unwrap();
    assert!(pod.sh("ip -d link show blue").contains("vrf table 2 "), "the first that is free");
    for (name, link, table) in [("blue", "net1", 2), ("red", "net2", 1001)] {
        assert!(pod.sh(&format!("ip link show {name}")).contains(",UP"));
        assert!(pod.sh(&format!("ip link show {link}")).contains(&format!("master {name}")));
        let routes = pod.sh(&format!("ip route show table {table}; ip -6 route show table {table}"));
        for route in ["10.77.0.0/16 via 10.1.0.1", "10.1.0.0/24", "fd77::/64 via fd00:1::1", "fd00:1::/64"] {
            assert!(routes.contains(route), "{name} {route}: {routes}");
        }
        assert!(pod.sh(&format!("ip -6 addr show {link}")).contains("fd00:1::2/64"));
        for address in ["10.1.0.1", "fd00:1::1"] {
            assert!(pod.pings_by(address, &format!("-I {name}")), "{name} {address}: {}", pod.state());
        }
    }
    assert_eq!(pod.sh("(ip route; ip -6 route) | grep -v fe80 || true"), "", "the main table is empty");
}

// Proves: PLG-VRF-2, PLG-VRF-3
#[test]
#[ignore = "needs a kernel with VRF links: run it in the guest kernel"]
fn one_vrf_has_one_table_and_one_table_may_be_that_of_two() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.add_as(&vrf("blue", json!({})), &pod, "net1", "").unwrap_err();
    assert!(error.code == 7 && error.msg.contains("chained plugin"), "{error}");
    let at = pod.at("net1", "");
    let error = bed
        .host
        .run(|| manifold_cni::Plugin::check(&VRF, &input(&vrf("blue", json!({}))), &at))
        .unwrap()
        .unwrap_err();
    assert!(error.msg.contains("chained plugin"), "{error}");
    add(&bed, &vrf("blue", json!({"table": 7})), &pod, "net1").unwrap();
    add(&bed, &vrf("blue", json!({"table": 7})), &pod, "net2").unwrap();
    add(&bed, &vrf("red", json!({"table": 7})), &pod, "net3").unwrap();
    add(&bed, &vrf("blue", json!({})), &pod, "net4").unwrap();
    let error = add(&bed, &vrf("blue", json!({"table": 8})), &pod, "net5").unwrap_err();
    assert!(error.msg.contains("exists with table 7"), "{error}");
    pod.sh("ip link add plain type dummy");
    let error = add(&bed, &vrf("plain", json!({})), &pod, "net6").unwrap_err();
    assert!(error.msg.contains("is not a VRF"), "{error}");
    let made = bed.add_as(&bridge(&bed, "green"), &pod, "net7", "").unwrap();
    pod.sh("ip link set net7 master red");
    let error = bed.add_as(&with_result(&vrf("blue", json!({})), &made), &pod, "net7", "").unwrap_err();
    assert!(error.msg.contains("belongs to `red` already"), "{error}");
}

// Proves: PLG-VRF-4, PLG-VRF-5
#[test]
#[ignore = "needs a kernel with VRF links: run it in the guest kernel"]
fn the_vrf_goes_with_its_last_member_and_check_misses_a_member() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = vrf("blue", json!({}));
    bed.del_at(&conf, &pod.at("net1", "").detach()).unwrap();
    let made = bed.add_as(&bridge(&bed, "blue"), &pod, "net1", "").unwrap();
    bed.add_as(&with_result(&conf, &made), &pod, "net1", "").unwrap();
    add(&bed, &conf, &pod, "net2").unwrap();
    for _ in 0..2 {
        bed.del_at(&conf, &pod.at("net2", "").detach()).unwrap();
        assert!(!pod.sh("ip link show net2").contains("master"));
        assert!(pod.sh("ip link show net1").contains("master blue"));
    }
    pod.sh("ip link set net1 nomaster");
    let error = bed.check_as(&conf, &pod, "net1", &made).unwrap_err();
    assert!(error.msg.contains("is not in VRF `blue` any more"), "{error}");
    pod.sh("ip link set net1 master blue; ip link del net1");
    bed.del_at(&conf, &pod.at("net1", "").detach()).unwrap();
    assert_eq!(pod.sh("ip link show type vrf"), "", "the interface was gone, and the VRF goes");
    for path in [None, Some("/run/netns/never-there")] {
        bed.del_at(&conf, &pod.without_netns(path)).unwrap();
    }
}

// Proves: PLG-COM-16
#[test]
#[ignore = "needs a kernel with VRF links: run it in the guest kernel"]
fn a_failure_after_any_step_takes_the_interface_out_again() {
    for step in 0..2 {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let made = bed.add_as(&bridge(&bed, "blue"), &pod, "net1", "").unwrap();
        let look = || {
            pod.sh("ip -o link | sed -E 's/.*: ([^:@]+)[@:].*/\\1/'; (ip route; ip -6 route) | grep -v fe80 | sort; ip -6 -o addr show net1 scope global | sed 's/valid.*//; s/nodad//'")
        };
        let before = look();
        fail_at(step);
        let plugin = Vrf { after_step: failing };
        let outcome = bed.add_with(&plugin, &with_result(&vrf("blue", json!({})), &made), &pod, "net1", "");
        fail_at(usize::MAX);
        assert!(outcome.is_err());
        same(&format!("step {step}"), &before, &look());
    }
}

// Proves: PLG-COM-1
#[test]
fn versions_before_0_3_1_are_refused() {
    let versions = manifold_cni::Plugin::versions(&VRF);
    assert_eq!(versions, &Version::ALL[3..]);
    assert_eq!(versions[0], Version::V0_3_1);
}
