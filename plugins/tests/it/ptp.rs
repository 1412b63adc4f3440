//! `ptp`: a routed pair, where the pod reaches everything through the host.

use manifold_cni::CniError;
use manifold_plugins::interface::Ptp;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, same, with};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "red", "type": "ptp", "ipam": ipam})
}

// Proves: PLG-PTP-2, PLG-PTP-3, PLG-PTP-4
#[test]
fn two_pods_reach_each_other_through_the_host_only() {
    let bed = Bed::new();
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    let first = bed.add(&conf(ipam.clone()), &a).unwrap();
    bed.add(&conf(ipam.clone()), &b).unwrap();
    let names: Vec<_> = first.interfaces.iter().map(|i| i.name.as_str()).collect();
    let [outer, "eth0"] = names[..] else { panic!("{names:?}") };
    assert!(first.ips.iter().all(|ip| ip.interface == Some(1)));
    let routes = a.sh("ip -4 route");
    for expected in [
        "default via 10.1.0.1 dev eth0",
        "10.1.0.0/24 via 10.1.0.1 dev eth0 src 10.1.0.2",
        "10.1.0.1 dev eth0 scope link src 10.1.0.2",
    ] {
        assert!(routes.contains(expected), "{expected}: {routes}");
    }
    assert_eq!(routes.lines().count(), 3, "{routes}");
    let routes = a.sh("ip -6 route | grep -v fe80");
    assert!(
        routes.contains("fd00:1::1 dev eth0") && routes.contains("fd00:1::/64 via fd00:1::1 dev eth0"),
        "{routes}"
    );
    let host = bed.sh(&format!("ip -o addr show {outer}; ip route; ip -6 route"));
    assert!(host.contains("inet 10.1.0.1/32") && host.contains("inet6 fd00:1::1/128"), "{host}");
    assert!(host.contains(&format!("10.1.0.2 dev {outer} scope host")), "{host}");
    assert!(host.contains(&format!("fd00:1::2 dev {outer}")), "{host}");
    assert_eq!(bed.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"), "1\n1");
    for address in ["10.1.0.1", "fd00:1::1", "10.1.0.3", "fd00:1::3"] {
        assert!(a.pings(address), "{address}\n{}\n{}", a.state(), bed.state());
    }
    bed.check(&conf(ipam), &a, &first).unwrap();
}

// Proves: PLG-PTP-1
#[test]
fn ipam_is_required_by_every_verb_and_the_mtu_is_that_of_both_ends() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let without = conf(json!({}));
    assert_eq!(bed.add(&without, &pod).unwrap_err().code, 7);
    let result = bed.add(&with(&conf(bed.host_local("10.1.0.0/24")), json!({"mtu": 1400})), &pod).unwrap();
    assert!(pod.sh("ip link show eth0").contains("mtu 1400"));
    assert!(bed.sh(&format!("ip link show {}", result.interfaces[0].name)).contains("mtu 1400"));
}

// Proves: PLG-COM-18
#[test]
fn status_is_that_of_ipam_and_without_ipam_an_error() {
    let bed = Bed::new();
    assert!(bed.status(&conf(json!({}))).is_err());
    bed.status(&conf(bed.host_local("10.1.0.0/24"))).unwrap();
}

// Proves: PLG-PTP-2, PLG-COM-16
#[test]
fn an_address_without_gateway_is_refused_and_nothing_stays() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let (host, inside) = (bed.state(), pod.state());
    let ipam = json!({"type": "static", "addresses": [{"address": "10.1.0.2/24"}]});
    let error = bed.add(&conf(ipam), &pod).unwrap_err();
    assert!(error.msg.contains("`10.1.0.2/24` without a gateway"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
}

// Proves: PLG-COM-6
#[test]
fn an_add_that_comes_twice_does_not_harm_the_living_attachment() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let result = bed.add(&conf, &pod).unwrap();
    let (host, inside) = (bed.state(), pod.state());
    assert!(bed.add(&conf, &pod).unwrap_err().msg.contains("an interface `eth0` already"));
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
    bed.check(&conf, &pod, &result).unwrap();
}

// Proves: PLG-COM-14
#[test]
fn ipams_dns_stands_unless_the_configuration_writes_one() {
    let bed = Bed::new();
    let ipam = json!({"type": "static", "addresses": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
        "dns": {"nameservers": ["10.0.0.53"], "domain": "ipam.example"}});
    let of_ipam = bed.add(&conf(ipam.clone()), &bed.pod("a")).unwrap();
    assert_eq!(of_ipam.dns.nameservers, ["10.0.0.53"]);
    let own = bed.add(&with(&conf(ipam), json!({"dns": {"search": []}})), &bed.pod("b")).unwrap();
    assert!(own.dns.is_empty());
}

// Proves: PLG-PTP-5, PLG-COM-11, PLG-COM-12, PLG-COM-13
#[test]
fn check_finds_what_is_broken_on_either_side() {
    let ipam = |bed: &Bed| {
        json!({"type": "host-local", "dataDir": bed.leases.path(),
        "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]})
    };
    for (script, in_pod, complaint) in [
        ("ip addr del 10.1.0.2/24 dev eth0", true, "lost address"),
        ("ip route del default", true, "no route to `0.0.0.0/0`"),
        ("ip route del 10.1.0.0/24", true, "no route to `10.1.0.0/24`"),
        ("ip link set eth0 address 02:00:00:00:00:99", true, "MAC address"),
        ("ip route del 10.1.0.2", false, "the host has no route to the pod's address `10.1.0.2`"),
        (
            "ip link set $(ip -o link show type veth | sed -E 's/^[0-9]+: ([^@]+)@.*/\\1/') down",
            false,
            "is down",
        ),
    ] {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let conf = conf(ipam(&bed));
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
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = conf(ipam(&bed));
    let result = bed.add(&conf, &pod).unwrap();
    std::fs::remove_file(bed.leases.path().join("red/10.1.0.2")).unwrap();
    assert!(bed.check(&conf, &pod, &result).is_err(), "IPAM is checked too");
}

fn one_address(bed: &Bed) -> Value {
    let range = |subnet: &str, ip: &str| json!([{"subnet": subnet, "rangeStart": ip, "rangeEnd": ip}]);
    conf(json!({"type": "host-local", "dataDir": bed.leases.path(),
        "ranges": [range("10.2.0.0/24", "10.2.0.5"), range("fd00:2::/64", "fd00:2::5")]}))
}

/// Two pods with the addresses of one, as when the first one's leases were given back before its link was gone.
fn former_owner(bed: &Bed, conf: &Value) -> Pod {
    let old = bed.pod("old");
    bed.add(conf, &old).unwrap();
    std::fs::remove_dir_all(bed.leases.path().join("red")).unwrap();
    old
}

// Proves: COMPAT-14
#[test]
fn a_hosts_route_to_a_former_owner_is_replaced_and_does_not_go_with_that_one() {
    let bed = Bed::new();
    let conf = one_address(&bed);
    let (old, new) = (former_owner(&bed, &conf), bed.pod("new"));
    let result = bed.add(&conf, &new).unwrap();
    let outer = &result.interfaces[0].name;
    for when in ["after ADD", "after DEL of the former owner"] {
        let routes = bed.sh("ip route; ip -6 route");
        for address in ["10.2.0.5", "fd00:2::5"] {
            assert!(routes.contains(&format!("{address} dev {outer}")), "{when}: {routes}");
        }
        bed.check(&conf, &new, &result).unwrap();
        bed.del(&conf, &old).unwrap();
    }
    bed.sh("ping -n -c 1 -W 5 10.2.0.5; ping -n -c 1 -W 5 fd00:2::5");
}

// Proves: COMPAT-14, PLG-COM-16
#[test]
fn an_add_that_fails_puts_a_replaced_route_back() {
    let bed = Bed::new();
    let conf = one_address(&bed);
    let _old = former_owner(&bed, &conf);
    let before = bed.state();
    let fails = Ptp {
        after_step: |step| match step {
            "routes to the pod" => Err(CniError::failed("injected")),
            _ => Ok(()),
        },
    };
    let error = bed.add_with(&fails, &conf, &bed.pod("new"), "eth0", "").unwrap_err();
    assert_eq!((error.msg.as_str(), error.details.as_str()), ("injected", ""));
    same("host", &before, &bed.state());
}
