//! `bridge`: what the configuration's keys do to kernel objects and to packets.

use manifold_cni::{CniError, CniResult};
use manifold_plugins::interface::Bridge;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, same, with};

pub(crate) fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "ipam": ipam})
}

pub(crate) fn l2() -> Value {
    conf(json!({}))
}

// Proves: PLG-BRIDGE-1, PLG-BRIDGE-11, PLG-BRIDGE-18, PLG-BRIDGE-20, PLG-COM-6
#[test]
fn without_ipam_the_pod_gets_a_port_that_is_up_and_no_address() {
    let bed = Bed::new();
    let pod = bed.pod("c1");
    let result = bed.add(&with(&l2(), json!({"bridge": null})), &pod).unwrap();
    let names: Vec<_> = result.interfaces.iter().map(|i| i.name.as_str()).collect();
    assert!(
        matches!(names[..], ["cni0", port, "eth0"] if port.starts_with("veth") && port.len() == 12),
        "{names:?}"
    );
    let sandboxes: Vec<_> = result.interfaces.iter().map(|i| i.sandbox.as_str()).collect();
    assert_eq!(sandboxes, ["", "", pod.path().to_str().unwrap()]);
    assert!(result.ips.is_empty() && result.routes.is_empty());
    assert!(pod.sh("ip -o link show eth0 up").contains("state UP"));
    assert_eq!(pod.sh("ip -4 -o addr show eth0"), "");
    assert!(bed.sh("bridge link").contains("master cni0 state forwarding"));
    assert_eq!(bed.sh(&format!("cat /proc/sys/net/ipv6/conf/{}/accept_ra", names[1])), "0");
    let mac = |dev: &str, sh: &dyn Fn(&str) -> String| {
        sh(&format!("ip -o link show {dev}"))
            .contains(&result.interfaces.iter().find(|i| i.name == dev).unwrap().mac)
    };
    assert!(mac("cni0", &|s| bed.sh(s)) && mac(names[1], &|s| bed.sh(s)) && mac("eth0", &|s| pod.sh(s)));
}

// Proves: PLG-BRIDGE-2, PLG-BRIDGE-15, PLG-BRIDGE-16, PLG-BRIDGE-17, PLG-COM-8, S-10
#[test]
fn pods_reach_each_other_and_the_gateway_over_both_families() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(),
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    let conf = with(&conf(ipam), json!({"isDefaultGateway": true}));
    let first = bed.add(&conf, &a).unwrap();
    let second = bed.add(&conf, &b).unwrap();
    let ips: Vec<_> = second.ips.iter().map(|ip| ip.address.addr().to_string()).collect();
    assert!(first.ips.iter().all(|ip| ip.interface == Some(2)));
    for address in [ips[0].as_str(), ips[1].as_str(), "10.1.0.1", "fd00:1::1"] {
        assert!(a.pings(address), "{address}\n{}\n{}", a.state(), bed.state());
    }
    assert!(a.sh("ip route").contains("default via 10.1.0.1 dev eth0"));
    assert!(a.sh("ip -6 route").contains("default via fd00:1::1 dev eth0"));
    let setting = |name: &str| a.sh(&format!("cat /proc/sys/net/{name}"));
    for (name, value) in [
        ("ipv6/conf/eth0/accept_dad", "0"),
        ("ipv4/conf/eth0/arp_notify", "1"),
        ("ipv6/conf/eth0/accept_ra", "0"),
        ("ipv6/conf/eth0/keep_addr_on_down", "1"),
        ("ipv6/conf/eth0/disable_ipv6", "0"),
    ] {
        assert_eq!(setting(name), value, "{name}");
    }
    assert_eq!(bed.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"), "1\n1");
    bed.check(&conf, &a, &first).unwrap();
}

pub(crate) fn port_of(result: &CniResult) -> String {
    result.interfaces[1].name.clone()
}

pub(crate) fn address_of(result: &CniResult) -> String {
    result.ips[0].address.addr().to_string()
}

/// Two pods on the network, with the address of the second.
pub(crate) fn pair(bed: &Bed, conf: &Value) -> (Pod, Pod, String) {
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    bed.add(conf, &a).unwrap();
    let second = bed.add(conf, &b).unwrap();
    (a, b, address_of(&second))
}

// Proves: PLG-BRIDGE-3, PLG-BRIDGE-17
#[test]
fn another_address_on_the_bridge_is_an_error_or_replaced_as_asked() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.sh("ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip addr add fd00:9::1/64 dev br0");
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"isGateway": true}));
    let error = bed.add(&conf, &pod).unwrap_err();
    assert!(error.msg.contains("`10.9.0.1/24`") && error.msg.contains("`forceAddress`"), "{error}");
    assert_eq!(bed.lease_files(), [""; 0]);
    bed.add(&with(&conf, json!({"forceAddress": true})), &pod).unwrap();
    let addresses = bed.sh("ip -o addr show br0");
    assert!(addresses.contains("10.1.0.1/24") && !addresses.contains("10.9.0.1"), "{addresses}");
    assert!(addresses.contains("fd00:9::1/64"), "an IPv6 address of another subnet conflicts with nothing");
}

// Proves: PLG-BRIDGE-5
#[test]
fn the_mtu_is_that_of_bridge_and_both_ends() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let result = bed.add(&with(&l2(), json!({"mtu": 1400})), &pod).unwrap();
    assert!(pod.sh("ip link show eth0").contains("mtu 1400"));
    for link in ["br0", &port_of(&result)] {
        assert!(bed.sh(&format!("ip link show {link}")).contains("mtu 1400"), "{link}");
    }
    assert_eq!(result.interfaces[2].mtu, Some(1400));
}

// Proves: PLG-BRIDGE-12
#[test]
fn a_bridge_that_is_there_keeps_its_settings() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.sh("ip link add br0 type bridge ageing_time 12300; ip link set br0 mtu 1350");
    bed.add(&with(&l2(), json!({"mtu": 1400})), &pod).unwrap();
    let link = bed.sh("ip -d link show br0");
    assert!(link.contains("ageing_time 12300"), "{link}");
    assert!(link.contains("mtu 1350") && link.contains(",UP"), "{link}");
    assert_eq!(bed.sh("cat /proc/sys/net/ipv6/conf/br0/accept_ra"), "0");
}

fn mac_of(bed: &Bed, link: &str) -> String {
    bed.sh(&format!("ip -br link show {link}")).split_whitespace().nth(2).unwrap().to_owned()
}

// Proves: COMPAT-18
#[test]
fn a_bridge_of_the_administrator_keeps_its_mac_address_as_pods_come_and_go() {
    let uplink =
        "ip link add br0 type bridge; ip link add up0 address fe:00:00:00:00:01 type veth peer name far
        ip link set up0 master br0 up; ip link set far up; ip link set br0 up";
    let bed_conf = |bed: &Bed| with(&conf(bed.host_local("10.1.0.0/24")), json!({"isGateway": true}));
    for gateway in [true, false] {
        let bed = Bed::new();
        bed.sh(uplink);
        let conf = if gateway { bed_conf(&bed) } else { l2() };
        let (a, b) = (bed.pod("a"), bed.pod("b"));
        let result = bed.add(&conf, &a).unwrap();
        assert_eq!(result.interfaces[0].mac, "fe:00:00:00:00:01");
        bed.add(&conf, &b).unwrap();
        assert_eq!(mac_of(&bed, "br0"), "fe:00:00:00:00:01");
        bed.check(&conf, &a, &result).unwrap();
        bed.del(&conf, &b).unwrap();
        bed.del(&conf, &a).unwrap();
        assert_eq!(mac_of(&bed, "br0"), "fe:00:00:00:00:01");
    }
    // One that lost its last port has none to keep.
    let bed = Bed::new();
    bed.sh(&format!("{uplink}; ip link del up0"));
    let result = bed.add(&bed_conf(&bed), &bed.pod("a")).unwrap();
    assert_eq!(mac_of(&bed, "br0"), result.interfaces[0].mac);
    assert_ne!(result.interfaces[0].mac, result.interfaces[1].mac);
}

// Shows part of: COMPAT-18
#[test]
fn an_empty_bridge_without_gateway_takes_the_mac_address_of_an_uplink_that_comes_later() {
    let bed = Bed::new();
    bed.sh("ip link add br0 type bridge");
    bed.add(&l2(), &bed.pod("a")).unwrap();
    bed.sh("ip link add up0 address 02:00:00:00:00:01 type veth peer name far; ip link set up0 master br0");
    assert_eq!(mac_of(&bed, "br0"), "02:00:00:00:00:01");
}

// Proves: PLG-BRIDGE-12
#[test]
fn a_link_of_another_kind_is_not_taken_for_the_bridge() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.sh("ip link add br0 type veth peer name other");
    let before = bed.state();
    let error = bed.add(&l2(), &pod).unwrap_err();
    assert!(error.msg.contains("`br0` is of kind `veth`, not a bridge"), "{error}");
    same("host", &before, &bed.state());
}

// Proves: PLG-BRIDGE-6
#[test]
fn hairpin_and_promiscuous_mode_are_set_and_exclude_each_other() {
    let bed = Bed::new();
    let (a, b, c) = (bed.pod("a"), bed.pod("b"), bed.pod("c"));
    let hairpin = bed.add(&with(&l2(), json!({"hairpinMode": true})), &a).unwrap();
    assert!(bed.sh(&format!("bridge -d link show dev {}", port_of(&hairpin))).contains("hairpin on"));
    assert!(!bed.sh("ip link show br0").contains("PROMISC"));
    bed.add(&with(&l2(), json!({"promiscMode": true})), &b).unwrap();
    assert!(bed.sh("ip link show br0").contains("PROMISC"));
    let before = bed.state();
    let error = bed.add(&with(&l2(), json!({"hairpinMode": true, "promiscMode": true})), &c).unwrap_err();
    assert_eq!(error.code, 7);
    same("host", &before, &bed.state());
}

// Proves: PLG-BRIDGE-10
#[test]
fn isolated_ports_reach_the_host_but_not_each_other() {
    let bed = Bed::new();
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"isGateway": true, "portIsolation": true}));
    let (a, _b, address) = pair(&bed, &conf);
    assert!(a.pings("10.1.0.1"));
    assert!(a.pings_not(&address));
}

// Proves: PLG-BRIDGE-10, PLG-BRIDGE-18, PLG-BRIDGE-19
#[test]
fn a_disabled_container_interface_stays_down_and_is_not_waited_for() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let conf = with(&l2(), json!({"disableContainerInterface": true}));
    let waits_for_none = Bridge {
        after_step: |step| match step {
            "port up" => Err(CniError::failed("the port was waited for")),
            _ => Ok(()),
        },
    };
    bed.add_with(&waits_for_none, &l2(), &bed.pod("c"), "eth0", "").unwrap_err();
    bed.add_with(&waits_for_none, &conf, &a, "eth0", "").unwrap();
    assert!(a.sh("ip -o link show eth0").contains("state DOWN"));
    let error = bed.add(&with(&conf, json!({"ipam": bed.host_local("10.1.0.0/24")})), &b).unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: PLG-BRIDGE-10, PLG-BRIDGE-16, PLG-COM-8, PLG-COM-16
#[test]
fn with_enabledad_a_duplicate_ipv6_address_fails_the_add_and_leaves_nothing() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let address = json!([{"address": "fd00:1::5/64", "gateway": "fd00:1::1"}]);
    let conf = with(
        &conf(json!({"type": "static", "addresses": address})),
        json!({"enabledad": true, "isGateway": true}),
    );
    bed.add(&conf, &a).unwrap();
    let settings =
        a.sh("cat /proc/sys/net/ipv6/conf/eth0/enhanced_dad /proc/sys/net/ipv6/conf/eth0/accept_dad");
    assert_eq!(settings, "1\n1");
    let (host, pod) = (bed.state(), b.state());
    let error = bed.add(&conf, &b).unwrap_err();
    assert!(error.msg.contains("`fd00:1::5`"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &pod, &b.state());
}

// Proves: PLG-COM-6
#[test]
fn a_name_that_is_taken_in_the_pod_is_an_error_that_leaves_nothing() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&l2(), &pod).unwrap();
    let (host, inside) = (bed.state(), pod.state());
    let error = bed.add(&with(&l2(), json!({"ipam": bed.host_local("10.1.0.0/24")})), &pod).unwrap_err();
    assert!(error.msg.contains("an interface `eth0` already"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
}

// Proves: PLG-COM-24, PLG-COM-25
#[test]
fn the_mac_address_of_the_highest_source_counts_and_odd_arguments_are_refused() {
    let bed = Bed::new();
    let [all, args, env] = ["a", "b", "c"].map(|id| bed.pod(id));
    let cni = with(&l2(), json!({"args": {"cni": {"mac": "02:00:00:00:00:02"}}}));
    let runtime = with(&cni, json!({"runtimeConfig": {"mac": "02:00:00:00:00:01"}}));
    let env_mac = "MAC=02:00:00:00:00:03";
    for (conf, pod, mac) in [
        (&runtime, &all, "02:00:00:00:00:01"),
        (&cni, &args, "02:00:00:00:00:02"),
        (&l2(), &env, "02:00:00:00:00:03"),
    ] {
        let result = bed.add_as(conf, pod, "eth0", env_mac).unwrap();
        assert_eq!(result.interfaces[2].mac, mac);
        assert!(pod.sh("ip link show eth0").contains(mac));
    }
    let pod = bed.pod("d");
    let error = bed.add_as(&l2(), &pod, "eth0", "FOO=bar").unwrap_err();
    assert_eq!(error.code, 4);
    bed.add_as(&l2(), &pod, "eth0", "FOO=bar;IgnoreUnknown=1").unwrap();
}

// Proves: PLG-COM-26
#[test]
fn an_interface_name_with_a_dot_gets_its_settings() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add_as(&conf(bed.host_local("10.1.0.0/24")), &pod, "net.1", "").unwrap();
    assert_eq!(
        pod.sh("cat /proc/sys/net/ipv6/conf/net.1/disable_ipv6 /proc/sys/net/ipv4/conf/net.1/arp_notify"),
        "1\n1"
    );
}

// Proves: PLG-BRIDGE-21, PLG-COM-11, PLG-COM-12, PLG-COM-13
// Proves: COMPAT-27, COMPAT-27.3
#[test]
fn check_finds_each_thing_that_is_broken() {
    let bed = Bed::new();
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": [[{"subnet": "10.1.0.0/24"}]],
        "routes": [{"dst": "10.7.0.0/16"}, {"dst": "10.8.0.0/16", "table": 77}]});
    let conf = with(&conf(ipam), json!({"isDefaultGateway": true}));
    let broken: [(&str, bool, &str); 13] = [
        (
            "ip addr del 10.1.0.2/24 dev eth0; ip route add 10.1.0.0/24 dev eth0",
            true,
            "lost address `10.1.0.2/24`",
        ),
        ("ip route del 10.1.0.0/24", true, "no route to `10.1.0.0/24`"),
        ("ip route del 10.7.0.0/16", true, "no route to `10.7.0.0/16`"),
        (
            "ip route del 10.8.0.0/16 table 77; ip route add 10.8.0.0/16 via 10.1.0.1",
            true,
            "`10.8.0.0/16` in table 77",
        ),
        ("ip route del default", true, "no route to `0.0.0.0/0`"),
        ("ip link set eth0 address 02:00:00:00:00:99", true, "MAC address `02:00:00:00:00:99`"),
        ("ip link set eth0 down; ip link set eth0 name eth9", true, "no interface `eth0`"),
        (
            "ip link set $(ls /sys/class/net >/dev/null; ip -o link show master br0 | sed -E 's/^[0-9]+: ([^@]+)@.*/\\1/') nomaster",
            false,
            "is not a port of bridge `br0`",
        ),
        (
            "ip link set br0 address 02:00:00:00:00:98",
            false,
            "bridge `br0` has MAC address `02:00:00:00:00:98`",
        ),
        ("ip link set br0 promisc on", false, "promiscuous mode `true`"),
        ("ip link set br0 down", false, "bridge `br0` is down"),
        (
            "ip link set $(ip -o link show master br0 | sed -E 's/^[0-9]+: ([^@]+)@.*/\\1/') down",
            false,
            "of interface `eth0` is down",
        ),
        ("ip addr del 10.1.0.1/24 dev br0", false, "`br0` has lost the address `10.1.0.1`"),
    ];
    for (script, in_pod, complaint) in broken {
        let bed = Bed { leases: tempfile::tempdir().unwrap(), ..Bed::new() };
        let pod = bed.pod("a");
        let conf = with(&conf, json!({"ipam": with(&conf["ipam"], json!({"dataDir": bed.leases.path()}))}));
        let result = bed.add(&conf, &pod).unwrap();
        bed.check(&conf, &pod, &result).unwrap();
        if in_pod {
            pod.sh(script)
        } else {
            bed.sh(script)
        };
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "after `{script}`: {error}");
    }
}

// Proves: PLG-COM-13
#[test]
fn check_refuses_a_result_of_another_sandbox_kind_or_none() {
    let bed = Bed::new();
    let (pod, other) = (bed.pod("a"), bed.pod("b"));
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let result = bed.add(&conf, &pod).unwrap();
    let mut foreign = result.clone();
    foreign.interfaces[2].sandbox = other.path().to_str().unwrap().into();
    assert!(bed.check(&conf, &pod, &foreign).unwrap_err().msg.contains("but the container is"));
    let mut nameless = result.clone();
    nameless.interfaces[2].name = "eth7".into();
    assert!(bed.check(&conf, &pod, &nameless).unwrap_err().msg.contains("no interface `eth0`"));
    let error = bed
        .host
        .run(|| {
            manifold_cni::Plugin::check(
                &manifold_plugins::interface::BRIDGE,
                &crate::bed::input(&conf),
                &pod.at("eth0", ""),
            )
        })
        .unwrap();
    assert!(error.unwrap_err().msg.contains("`prevResult` is missing"));
    bed.sh("ip link set br0 down; ip link del br0; ip link add br0 type veth peer name x");
    assert!(bed.check(&conf, &pod, &result).unwrap_err().msg.contains("is not a bridge"));
}

// Proves: PLG-COM-15
#[test]
fn ipam_that_fails_leaves_no_link() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let other = bed.pod("b");
    bed.add(&l2(), &other).unwrap();
    let (host, inside) = (bed.state(), pod.state());
    let empty = conf(json!({"type": "static", "addresses": []}));
    let error = bed.add(&empty, &pod).unwrap_err();
    assert!(error.msg.contains("gave no IP config"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
}

// Proves: PLG-COM-18
#[test]
fn status_is_that_of_ipam() {
    let bed = Bed::new();
    bed.status(&l2()).unwrap();
    let full =
        json!({"type": "host-local", "dataDir": bed.leases.path(), "ranges": [[{"subnet": "10.1.0.0/30"}]]});
    bed.status(&conf(full.clone())).unwrap();
    bed.add(&conf(full.clone()), &bed.pod("a")).unwrap();
    assert_eq!(bed.status(&conf(full)).unwrap_err().code, 50);
}

// Proves: PLG-BRIDGE-17, PLG-BRIDGE-20
#[test]
fn the_bridge_keeps_its_mac_address_as_pods_with_lower_ones_come_and_go() {
    for prepare in ["", "ip link add br0 type bridge"] {
        let bed = Bed::new();
        bed.sh(prepare);
        let (a, b) = (bed.pod("a"), bed.pod("b"));
        let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"isGateway": true}));
        let first = bed.add(&conf, &a).unwrap();
        let mac = &first.interfaces[0].mac;
        assert!(bed.sh("ip link show br0").contains(mac));
        bed.sh("ip link add low0 address 00:00:00:00:00:01 type veth peer name low1; ip link set low0 master br0 up");
        let second = bed.add(&conf, &b).unwrap();
        assert_eq!(&second.interfaces[0].mac, mac, "{prepare}");
        bed.check(&conf, &a, &first).unwrap();
        bed.del(&conf, &a).unwrap();
        assert!(bed.sh("ip link show br0").contains(mac));
    }
}
