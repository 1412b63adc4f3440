//! `macvlan`: links of the pods' own on a link of the host.

use serde_json::{Value, json};

use crate::bed::{Bed, runs, same, with, with_result};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "green", "type": "macvlan", "master": "up0", "ipam": ipam})
}

/// A host with an uplink `up0`, and somebody at its other end.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; ip addr add 10.1.0.250/24 dev up1");
    bed
}

// Proves: PLG-MACVLAN-1, PLG-MACVLAN-6, S-10
#[test]
fn pods_on_one_master_reach_each_other_and_whoever_is_on_the_wire() {
    let bed = bed();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let first = bed.add(&conf, &a).unwrap();
    let second = bed.add(&conf, &b).unwrap();
    assert_eq!(first.interfaces.len(), 1);
    let interface = &first.interfaces[0];
    assert_eq!((interface.name.as_str(), interface.sandbox.as_str()), ("eth0", a.path().to_str().unwrap()));
    let link = a.sh("ip -d -o link show eth0");
    assert!(link.contains("macvlan mode bridge") && link.contains(&interface.mac), "{link}");
    assert_eq!(first.ips[0].interface, Some(0));
    assert!(a.pings(&second.ips[0].address.addr().to_string()));
    assert!(a.pings("10.1.0.250"));
    let settings = "cd /proc/sys/net; cat ipv4/conf/eth0/arp_notify ipv6/conf/eth0/ndisc_notify ipv6/conf/eth0/disable_ipv6";
    assert_eq!(a.sh(settings), "1\n1\n1");
    assert_eq!(a.sh("ip -6 -o addr show eth0"), "", "no IPv6 address was given, so there is none at all");
    bed.check(&conf, &a, &first).unwrap();
}

// Proves: PLG-COM-7
#[test]
fn a_link_of_the_host_may_have_the_pods_name() {
    let bed = bed();
    bed.sh("ip link add eth0 type veth peer name other");
    let pod = bed.pod("a");
    bed.add(&conf(json!({})), &pod).unwrap();
    assert!(pod.sh("ip -d link show eth0").contains("macvlan"));
    assert!(!bed.sh("ip -o link").contains("tmp"));
}

// Proves: PLG-MACVLAN-1
#[test]
fn each_mode_is_set_and_another_refused() {
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let bed = bed();
        let pod = bed.pod("a");
        let conf = with(&conf(json!({})), json!({"mode": mode}));
        let result = bed.add(&conf, &pod).unwrap();
        assert!(pod.sh("ip -d link show eth0").contains(&format!("mode {mode}")));
        bed.check(&conf, &pod, &result).unwrap();
    }
    let error = bed().add(&with(&conf(json!({})), json!({"mode": "nosy"})), &bed().pod("a")).unwrap_err();
    assert_eq!(error.code, 7);
}

// Proves: PLG-MACVLAN-1
#[test]
fn the_master_is_by_default_that_of_the_default_route() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = with(&conf(json!({})), json!({"master": null}));
    assert!(bed.add(&conf, &pod).unwrap_err().msg.contains("no default route"));
    bed.sh("ip addr add 10.9.0.2/24 dev up0; ip route add default via 10.9.0.1");
    let result = bed.add(&conf, &pod).unwrap();
    bed.check(&conf, &pod, &result).unwrap();
    bed.sh("ip route del default");
    bed.check(&conf, &pod, &result).unwrap();
}

// Proves: PLG-MACVLAN-1
#[test]
fn the_master_may_be_inside_the_container() {
    let bed = bed();
    let pod = bed.pod("a");
    pod.sh("ip link add in0 type veth peer name in1; ip link set in0 up; ip link set in1 up");
    let conf = with(&conf(json!({})), json!({"master": "in0", "linkInContainer": true}));
    let result = bed.add_as(&conf, &pod, "net1", "").unwrap();
    assert!(pod.sh("ip -o link show net1").contains("net1@in0"));
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
    assert!(bed.add_as(&with(&conf, json!({"linkInContainer": false})), &pod, "net2", "").is_err());
}

// Proves: PLG-MACVLAN-2
#[test]
fn the_mtu_is_at_most_the_masters() {
    let bed = bed();
    bed.sh("ip link set up0 mtu 1400");
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    bed.add(&with(&conf(json!({})), json!({"mtu": 1400})), &a).unwrap();
    assert!(a.sh("ip link show eth0").contains("mtu 1400"));
    bed.add(&with(&conf(json!({})), json!({"mtu": 0})), &b).unwrap();
    assert!(b.sh("ip link show eth0").contains("mtu 1400"));
    let before = c.state();
    let above = bed.add(&with(&conf(json!({})), json!({"mtu": 1401})), &c).unwrap_err();
    assert!(above.code == 7 && above.msg.contains("use 0 to 1400"), "{above}");
    assert_eq!(bed.add(&with(&conf(json!({})), json!({"mtu": -1})), &c).unwrap_err().code, 7);
    same("pod", &before, &c.state());
}

// Proves: PLG-MACVLAN-3, PLG-COM-24
#[test]
fn the_mac_address_of_the_highest_source_counts() {
    let bed = bed();
    let own = with(
        &conf(json!({})),
        json!({"mac": "02:00:00:00:00:01", "args": {"cni": {"mac": "02:00:00:00:00:09"}}}),
    );
    let runtime = with(&own, json!({"runtimeConfig": {"mac": "02:00:00:00:00:03"}}));
    for (id, conf, args, mac) in [
        ("a", &own, "", "02:00:00:00:00:01"),
        ("b", &own, "MAC=02:00:00:00:00:02", "02:00:00:00:00:02"),
        ("c", &runtime, "MAC=02:00:00:00:00:02", "02:00:00:00:00:03"),
    ] {
        let pod = bed.pod(id);
        let result = bed.add_as(conf, &pod, "eth0", args).unwrap();
        assert_eq!(result.interfaces[0].mac, mac);
        assert!(pod.sh("ip link show eth0").contains(mac));
    }
    let pod = bed.pod("d");
    let before = pod.state();
    assert_eq!(bed.add(&with(&conf(json!({})), json!({"mac": "nonsense"})), &pod).unwrap_err().code, 7);
    same("pod", &before, &pod.state());
}

#[test]
fn a_mac_address_that_a_sibling_has_is_told_as_the_cause() {
    let bed = bed();
    let twin = |id: &str, ipam: Value| {
        let pod = bed.pod(id);
        let conf = with(&conf(ipam), json!({"mac": "02:00:00:00:00:01"}));
        let added = bed.add(&conf, &pod);
        (pod, added)
    };
    let addresses =
        |host: &str| json!({"type": "static", "addresses": [{"address": format!("10.1.0.{host}/24")}]});
    let (_first, added) = twin("a", addresses("2"));
    added.unwrap();
    for (id, ipam) in [("b", addresses("3")), ("c", json!(null))] {
        let (pod, added) = twin(id, ipam);
        let error = added.unwrap_err().to_string();
        for words in
            ["`eth0`", "`02:00:00:00:00:01`", "another interface on the same parent has it", "of its own"]
        {
            assert!(error.contains(words), "{words} is missing in: {error}");
        }
        assert_eq!(pod.sh("ip -o link show"), pod.sh("ip -o link show lo"));
    }
    // By tuning, behind a link with an address of its own.
    let pod = bed.pod("d");
    let result = bed.add(&conf(addresses("4")), &pod).unwrap();
    let tuning = json!({"cniVersion": "1.1.0", "name": "green", "type": "tuning", "mac": "02:00:00:00:00:01",
        "dataDir": bed.leases.path().join("tuning")});
    let error = bed.add(&with_result(&tuning, &result), &pod).unwrap_err().to_string();
    assert!(error.contains("another interface on the same parent has it"), "{error}");
}

// Proves: PLG-MACVLAN-4
#[test]
fn the_broadcast_queue_has_the_length_asked_for() {
    let bed = bed();
    let pod = bed.pod("a");
    bed.add(&with(&conf(json!({})), json!({"bcqueuelen": 777})), &pod).unwrap();
    assert!(pod.sh("ip -d link show eth0").contains("bcqueuelen 777"), "{}", pod.sh("ip -d link show eth0"));
}

// Proves: PLG-MACVLAN-5
#[test]
fn without_ipam_the_link_is_up_and_has_no_address() {
    let bed = bed();
    let pod = bed.pod("a");
    let result = bed.add(&with(&conf(json!({})), json!({"ipam": null})), &pod).unwrap();
    assert!(result.ips.is_empty());
    assert!(pod.sh("ip -o link show eth0 up").contains("eth0"));
    assert_eq!(pod.sh("ip -4 -o addr show eth0"), "");
    assert_eq!(
        pod.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/eth0/disable_ipv6"),
        "0\n0"
    );
}

// Proves: PLG-COM-8
#[test]
fn a_duplicate_ipv6_address_is_an_error_that_leaves_nothing() {
    let bed = bed();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf =
        conf(json!({"type": "static", "addresses": [{"address": "fd00:1::5/64", "gateway": "fd00:1::1"}],
        "routes": [{"dst": "::/0"}]}));
    bed.add(&conf, &a).unwrap();
    assert!(a.sh("ip -6 route").contains("default via fd00:1::1"));
    let before = b.state();
    let error = bed.add(&conf, &b).unwrap_err();
    assert!(error.msg.contains("has address `fd00:1::5` already"), "{error}");
    same("pod", &before, &b.state());
}

// Proves: PLG-COM-9
#[test]
fn routes_keep_every_attribute_and_the_same_destination_may_have_two_gateways() {
    let bed = bed();
    let pod = bed.pod("a");
    let ipam = json!({"type": "static",
        "addresses": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}, {"address": "fd00:1::2/64"}],
        "routes": [{"dst": "10.5.0.0/16", "gw": "10.1.0.7", "priority": 50, "mtu": 1300, "advmss": 1200},
            {"dst": "10.6.0.0/16", "table": 77},
            {"dst": "fd00:5::/64", "gw": "fd00:1::7"}, {"dst": "fd00:5::/64", "gw": "fd00:1::8"},
            {"dst": "fd00:6::/64"}]});
    let conf = conf(ipam);
    let result = bed.add(&conf, &pod).unwrap();
    let routes = pod.sh("ip route show table all; ip -6 route show table all");
    for expected in [
        "10.5.0.0/16 via 10.1.0.7 dev eth0 metric 50 mtu 1300 advmss 1200",
        "10.6.0.0/16 via 10.1.0.1 dev eth0 table 77",
        "nexthop via fd00:1::7 dev eth0 weight 1",
        "nexthop via fd00:1::8 dev eth0 weight 1",
        "fd00:6::/64 dev eth0",
    ] {
        assert!(routes.contains(expected), "{expected}: {routes}");
    }
    bed.check(&conf, &pod, &result).unwrap();
}

// Proves: PLG-COM-9
#[test]
fn a_route_without_any_gateway_is_on_the_link_in_the_scope_asked_for() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(json!({"type": "static", "addresses": [{"address": "10.1.0.2/24"}],
        "routes": [{"dst": "10.7.0.0/16", "scope": 253}, {"dst": "10.8.0.0/16"}]}));
    let result = bed.add(&conf, &pod).unwrap();
    let routes = pod.sh("ip route");
    assert!(routes.lines().any(|route| route.trim() == "10.7.0.0/16 dev eth0 scope link"), "{routes}");
    assert!(routes.lines().any(|route| route.trim() == "10.8.0.0/16 dev eth0"), "{routes}");
    bed.check(&conf, &pod, &result).unwrap();
}

// Proves: PLG-COM-14
#[test]
fn dns_is_the_configurations_even_when_that_has_none() {
    let bed = bed();
    let ipam = json!({"type": "static", "addresses": [{"address": "10.1.0.2/24"}], "dns": {"nameservers": ["10.0.0.53"]}});
    assert!(bed.add(&conf(ipam.clone()), &bed.pod("a")).unwrap().dns.is_empty());
    let own = with(&conf(ipam), json!({"dns": {"nameservers": ["1.1.1.1"]}}));
    assert_eq!(bed.add(&own, &bed.pod("b")).unwrap().dns.nameservers, ["1.1.1.1"]);
}

// Proves: PLG-MACVLAN-7, PLG-COM-11, PLG-COM-12, PLG-COM-13
#[test]
fn check_finds_what_is_broken() {
    for (script, complaint) in [
        ("ip addr del 10.1.0.1/24 dev eth0", "lost address"),
        ("ip route del 10.7.0.0/16", "no route to `10.7.0.0/16`"),
        ("ip route del 10.1.0.0/24", "no route to `10.1.0.0/24`"),
        ("ip link set eth0 address 02:00:00:00:00:99", "MAC address"),
        ("ip link set eth0 type macvlan mode private", "mode"),
        ("ip link del eth0; ip link add eth0 type veth peer name x", "not a macvlan link"),
        ("ip link del eth0", "no interface `eth0`"),
    ] {
        let bed = bed();
        let pod = bed.pod("a");
        let conf = conf(
            json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "10.7.0.0/16", "gw": "10.1.0.9"}],
            "ranges": [[{"subnet": "10.1.0.0/24", "gateway": "10.1.0.9"}]]}),
        );
        let result = bed.add(&conf, &pod).unwrap();
        bed.check(&conf, &pod, &result).unwrap();
        pod.sh(script);
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "after `{script}`: {error}");
    }
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let result = bed.add(&conf, &pod).unwrap();
    bed.sh("ip link set up0 name up9");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("not on the master `up0`"));
    bed.sh("ip link set up9 name up0");
    std::fs::remove_file(bed.leases.path().join("green/10.1.0.1")).ok();
    std::fs::remove_file(bed.leases.path().join("green/10.1.0.2")).ok();
    assert!(bed.check(&conf, &pod, &result).is_err(), "IPAM is checked too");
}

// Proves: PLG-MACVLAN-8
#[test]
fn del_after_the_master_is_gone_succeeds() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(bed.host_local("10.1.0.0/24"));
    bed.add(&conf, &pod).unwrap();
    bed.sh("ip link del up0");
    bed.del(&conf, &pod).unwrap();
    assert_eq!(bed.lease_files(), [""; 0]);
    assert!(!runs(&pod.netns, "ip link show eth0"));
}

// Proves: PLG-COM-17
#[test]
fn del_removes_a_link_that_a_later_plugin_had_given_another_mac_address() {
    let bed = bed();
    let pod = bed.pod("a");
    let before = pod.state();
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let tuning = json!({"cniVersion": "1.1.0", "name": "green", "type": "tuning", "mac": "02:00:00:00:00:77",
        "dataDir": bed.leases.path().join("tuning")});
    let made = bed.add(&conf, &pod).unwrap();
    let result = bed.add(&with_result(&tuning, &made), &pod).unwrap();
    for plugin in [&tuning, &conf] {
        bed.del(&with_result(plugin, &result), &pod).unwrap();
    }
    same("pod", &before, &pod.state());
}

// Proves: PLG-COM-9, PLG-DHCP-7
#[test]
fn a_route_in_the_links_scope_has_no_gateway_though_the_address_has_one() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf =
        conf(json!({"type": "static", "addresses": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
        "routes": [{"dst": "192.168.7.0/24", "scope": 253}, {"dst": "0.0.0.0/0"}]}));
    let result = bed.add(&conf, &pod).unwrap();
    let routes = pod.sh("ip route");
    assert!(routes.lines().any(|route| route.trim() == "192.168.7.0/24 dev eth0 scope link"), "{routes}");
    assert!(routes.contains("default via 10.1.0.1 dev eth0"), "{routes}");
    bed.check(&conf, &pod, &result).unwrap();
}
