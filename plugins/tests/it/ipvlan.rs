//! `ipvlan`: links that share their master's MAC address.

use std::os::unix::fs::PermissionsExt;

use manifold_cni::{CniError, CniResult, Input};
use manifold_plugins::bundled;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, runs, same, with, with_result};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "cyan", "type": "ipvlan", "master": "up0", "ipam": ipam})
}

/// A host with an uplink `up0`, and somebody at its other end.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    bed
}

fn address(result: &CniResult) -> String {
    result.ips[0].address.addr().to_string()
}

// Proves: PLG-IPVLAN-2, PLG-IPVLAN-6
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn pods_on_one_master_reach_each_other_in_every_mode() {
    for mode in ["l2", "l3", "l3s"] {
        let bed = bed();
        bed.sh("ip link add eth0 type veth peer name other");
        let (a, b) = (bed.pod("a"), bed.pod("b"));
        let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"mode": mode, "mtu": 1400}));
        let first = bed.add(&conf, &a).unwrap();
        // In the layer 3 modes, another subnet: the master routes between its links.
        let elsewhere = if mode == "l2" { "10.1.0.0/24" } else { "10.2.0.0/24" };
        let second = bed.add(&with(&conf, json!({"ipam": bed.host_local(elsewhere)})), &b).unwrap();
        assert_eq!((first.interfaces.len(), first.ips[0].interface), (1, Some(0)));
        let link = a.sh("ip -d -o link show eth0");
        assert!(link.contains(&format!("ipvlan  mode {mode} bridge")) && link.contains("mtu 1400"), "{link}");
        assert_eq!(first.interfaces[0].mac, bed.sh("cat /sys/class/net/up0/address 2>/dev/null || ip -o link show up0 | sed -E 's/.*ether ([0-9a-f:]+).*/\\1/'"));
        if mode != "l2" {
            a.sh("ip route add default dev eth0");
            b.sh("ip route add default dev eth0");
        }
        assert!(a.pings(&address(&second)), "{mode}");
        assert_eq!(
            a.sh("cd /proc/sys/net; cat ipv4/conf/eth0/arp_notify ipv6/conf/eth0/ndisc_notify"),
            "1\n1"
        );
        bed.check(&conf, &a, &first).unwrap();
    }
    for bad in [json!({"mode": "bridge"}), json!({"flag": "l2"}), json!({"mtu": -1})] {
        let bed = bed();
        assert_eq!(
            bed.add(&with(&conf(bed.host_local("10.1.0.0/24")), bad), &bed.pod("a")).unwrap_err().code,
            7
        );
    }
}

// Proves: PLG-IPVLAN-6
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn a_private_link_sees_no_other_of_its_master() {
    let bed = bed();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"flag": "private"}));
    let first = bed.add(&conf, &a).unwrap();
    let second = bed.add(&conf, &b).unwrap();
    assert!(a.pings_not(&address(&second)));
    bed.sh("ip addr add 10.1.0.250/24 dev up1");
    assert!(a.pings("10.1.0.250"), "whoever is on the wire is reached");
    bed.check(&conf, &a, &first).unwrap();
    let other = with(&conf, json!({"flag": "vepa"}));
    assert!(bed.check(&other, &a, &first).unwrap_err().msg.contains("flag `vepa`"));
}

// Proves: PLG-IPVLAN-1, PLG-IPVLAN-9, PLG-IPVLAN-10
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn the_master_is_by_default_that_of_the_default_route_and_needed_by_add_only() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"master": null}));
    assert!(bed.add(&conf, &pod).unwrap_err().msg.contains("no default route"));
    bed.sh("ip addr add 10.9.0.2/24 dev up0; ip route add default via 10.9.0.1");
    let result = bed.add(&conf, &pod).unwrap();
    bed.check(&conf, &pod, &result).unwrap();
    bed.sh("ip route del default");
    bed.check(&conf, &pod, &result).unwrap();
    let wrong = with(&conf, json!({"mode": "l3"}));
    assert!(bed.check(&wrong, &pod, &result).unwrap_err().msg.contains("mode `l3`"));
    let elsewhere = with(&conf, json!({"master": "up1"}));
    assert!(bed.check(&elsewhere, &pod, &result).unwrap_err().msg.contains("not on the master `up1`"));
    pod.sh("ip addr flush dev eth0");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("lost address"));
    let odd_prev = with(&conf, json!({"prevResult": {"cniVersion": "1.1.0", "interfaces": [], "ips": []}}));
    bed.del(&odd_prev, &pod).unwrap();
    bed.del(&conf, &pod).unwrap();
    assert!(!runs(&pod.netns, "ip link show eth0"));
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-IPVLAN-3
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn the_master_may_be_inside_the_container() {
    let bed = bed();
    let pod = bed.pod("a");
    pod.sh("ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up");
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"master": "in0", "linkInContainer": true}));
    let result = bed.add_as(&conf, &pod, "net1", "").unwrap();
    assert!(pod.sh("ip -o link show net1").contains("net1@in0"));
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
    assert!(bed.add_as(&with(&conf, json!({"linkInContainer": false})), &pod, "net2", "").is_err());
}

/// As a plugin before it in the chain answered.
fn prev(interfaces: Value, ips: Value) -> CniResult {
    serde_json::from_value(json!({"interfaces": interfaces, "ips": ips, "routes": [{"dst": "10.9.0.0/16"}]}))
        .unwrap()
}

// Proves: PLG-IPVLAN-1, PLG-IPVLAN-4, PLG-IPVLAN-6
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn in_a_chain_the_one_interface_so_far_is_the_master_and_its_addresses_configure_the_link() {
    let bed = bed();
    let pod = bed.pod("a");
    let chained = with(&conf(json!({})), json!({"master": null}));
    let ips = json!([{"address": "10.1.0.7/24", "gateway": "10.1.0.1", "interface": 0}]);
    let one = prev(json!([{"name": "up0"}]), ips.clone());
    let result = bed.add(&with_result(&chained, &one), &pod).unwrap();
    assert_eq!(result.interfaces.len(), 1, "earlier ones are dropped");
    assert_eq!((result.interfaces[0].name.as_str(), address(&result).as_str()), ("eth0", "10.1.0.7"));
    assert!(pod.sh("ip -o addr show eth0").contains("10.1.0.7/24"));
    assert!(pod.sh("ip route").contains("10.9.0.0/16 via 10.1.0.1"));
    bed.check(&chained, &pod, &result).unwrap();
    bed.del(&with_result(&chained, &result), &pod).unwrap();
    let before = pod.state();
    for (interfaces, ips, complaint) in [
        (json!([{"name": "up0"}, {"name": "up1"}]), ips.clone(), "name the chained master"),
        (json!([]), ips.clone(), "name the chained master"),
        (json!([{"name": "up0"}]), json!([]), "needs an `ipam`"),
    ] {
        let error = bed.add(&with_result(&chained, &prev(interfaces, ips)), &pod).unwrap_err();
        assert!(error.msg.contains(complaint), "{error}");
    }
    assert!(bed.add(&conf(json!({})), &pod).unwrap_err().msg.contains("needs an `ipam`"));
    same("pod", &before, &pod.state());
}

/// An IPAM plugin that answers ADD with this.
fn add_by(answer: Value, bed: &Bed, conf: &Value, pod: &Pod) -> (Result<CniResult, CniError>, String) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("naming");
    let script = "#!/bin/sh\necho $CNI_COMMAND >> $(dirname $0)/log\nif [ $CNI_COMMAND = ADD ]; then cat $(dirname $0)/answer; fi\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("answer"), answer.to_string()).unwrap();
    let bytes = serde_json::to_vec(conf).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let input = Input::from_stdin(&bytes, vec![folder.path().to_owned()], deadline).unwrap();
    let at = pod.at("eth0", "");
    let outcome = bed.host.run(|| bundled("ipvlan").unwrap().add(&input, &at)).unwrap();
    (outcome, std::fs::read_to_string(folder.path().join("log")).unwrap())
}

// Proves: PLG-IPVLAN-5
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn ipam_may_name_the_master_unless_a_link_is_called_so() {
    let bed = bed();
    let conf = with(&conf(json!({"type": "naming"})), json!({"master": "ipam", "cniVersion": "1.0.0"}));
    let answer = |interfaces: Value| json!({"cniVersion": "1.0.0", "interfaces": interfaces, "ips": [{"address": "10.1.0.7/24"}]});
    let pod = bed.pod("a");
    let (result, _) = add_by(answer(json!([{"name": "up0"}])), &bed, &conf, &pod);
    let result = result.unwrap();
    assert!(pod.sh("ip -o -d link show eth0").contains("ipvlan") && address(&result) == "10.1.0.7");
    let parent = bed.sh("cat /proc/net/dev | grep -c up0");
    assert_eq!(parent, "1");
    for interfaces in [json!([]), json!([{"name": "up0"}, {"name": "up1"}]), json!([{"name": ""}])] {
        let pod = bed.pod("b");
        let before = pod.state();
        let (outcome, asked) = add_by(answer(interfaces), &bed, &conf, &pod);
        assert!(outcome.unwrap_err().msg.contains("did not name exactly one interface"));
        assert_eq!(asked, "ADD\nDEL\n", "the addresses go back");
        same("pod", &before, &pod.state());
    }
    bed.sh("ip link add ipam type veth peer name x; ip link set ipam up");
    let pod = bed.pod("c");
    let (result, _) = add_by(answer(json!([{"name": "up0"}])), &bed, &conf, &pod);
    assert_eq!(
        result.unwrap().interfaces[0].mac,
        bed.sh("ip -o link show ipam | sed -E 's/.*ether ([0-9a-f:]+).*/\\1/'")
    );
}

// Proves: PLG-IPVLAN-8
#[test]
#[ignore = "needs a kernel with ipvlan links: run it in the guest kernel"]
fn a_master_that_macvlan_uses_is_refused_by_name() {
    let bed = bed();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let ipam = bed.host_local("10.1.0.0/24");
    bed.add(
        &json!({"cniVersion": "1.1.0", "name": "green", "type": "macvlan", "master": "up0", "ipam": {}}),
        &a,
    )
    .unwrap();
    let (host, inside) = (bed.state(), b.state());
    let error = bed.add(&conf(ipam), &b).unwrap_err();
    assert!(error.msg.contains("the master `up0` is used in another way already"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &inside, &b.state());
}
