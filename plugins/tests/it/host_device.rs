//! `host-device`: a device of the host is the pod's for a while.

use serde_json::{Value, json};

use crate::bed::{Bed, Pod, runs, same, with, with_result};

fn conf(ipam: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "steel", "type": "host-device", "device": "dev0", "ipam": ipam})
}

const MAC: &str = "02:00:00:00:00:d0";

/// A host with a device `dev0`, and somebody at its other end.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.sh(&format!(
        "ip link add dev0 address {MAC} type veth peer name wire; ip link set wire up; ip addr add 10.1.0.250/24 dev wire"
    ));
    bed
}

fn is_back(bed: &Bed, pod: &Pod) -> bool {
    let link = bed.sh("ip -o link show dev0");
    !runs(&pod.netns, "ip link show eth0") && !link.contains("alias") && !link.contains(",UP")
}

// Proves: PLG-HOSTDEV-5, PLG-HOSTDEV-6, PLG-HOSTDEV-7, PLG-COM-14
#[test]
fn the_device_goes_to_the_pod_with_its_address_and_comes_back_under_its_name() {
    let bed = bed();
    let pod = bed.pod("a");
    let (host, inside) = (bed.state(), pod.state());
    let ipam = with(&bed.host_local("10.1.0.0/24"), json!({"routes": [{"dst": "10.9.0.0/16"}]}));
    let conf = with(&conf(ipam), json!({"dns": {"nameservers": ["10.0.0.53"]}}));
    let result = bed.add(&conf, &pod).unwrap();
    let [interface] = &result.interfaces[..] else { panic!("one interface") };
    assert_eq!((interface.name.as_str(), interface.mac.as_str()), ("eth0", MAC));
    assert_eq!(
        (interface.sandbox.as_str(), result.ips[0].interface),
        (pod.path().to_str().unwrap(), Some(0))
    );
    assert_eq!(result.dns.nameservers, ["10.0.0.53"]);
    assert!(!runs(&bed.host, "ip link show dev0"));
    let link = pod.sh("ip link show eth0");
    assert!(link.contains("alias dev0") && link.contains(",UP"), "{link}");
    assert!(pod.sh("ip route").contains("10.9.0.0/16 via 10.1.0.1") && pod.pings("10.1.0.250"));
    bed.check(&conf, &pod, &result).unwrap();
    for _ in 0..2 {
        bed.del(&conf, &pod).unwrap();
        assert!(is_back(&bed, &pod));
        bed.becomes("host", &host);
        same("pod", &inside, &pod.state());
    }
}

// Proves: PLG-HOSTDEV-1
#[test]
fn a_device_is_found_by_its_mac_address_and_without_any_selector_none_is() {
    let bed = bed();
    let pod = bed.pod("a");
    let by_mac = with(&conf(json!({})), json!({"device": "", "hwaddr": MAC.to_uppercase()}));
    let result = bed.add(&by_mac, &pod).unwrap();
    assert!(result.ips.is_empty() && pod.sh("ip -o link show eth0").contains(",UP"));
    bed.check(&by_mac, &pod, &result).unwrap();
    bed.del(&by_mac, &pod).unwrap();
    assert!(is_back(&bed, &pod));
    let before = bed.state();
    for (selector, complaint) in [
        (json!({"device": null}), "no device is chosen"),
        (json!({"device": "dev9"}), "no link `dev9`"),
        (json!({"device": null, "hwaddr": "02:00:00:00:00:99"}), "with MAC address"),
        (json!({"device": null, "kernelpath": "class/net/dev0"}), "below `/sys/devices/`"),
        (json!({"device": null, "kernelpath": "/sys/devices/virtual/net/no-such"}), "no network interface"),
        (json!({"device": null, "pciBusID": "ffff:00:00.0"}), "no driver"),
        (json!({"device": null, "runtimeConfig": {"deviceID": "ffff:00:00.0"}}), "neither a PCI nor"),
    ] {
        let error = bed.add(&with(&conf(json!({})), selector), &pod).unwrap_err();
        assert!(error.msg.contains(complaint), "{error}");
    }
    same("host", &before, &bed.state());
}

// Proves: PLG-HOSTDEV-5
#[test]
fn a_name_that_is_taken_in_the_pod_leaves_the_device_as_it_was() {
    let bed = bed();
    let pod = bed.pod("a");
    pod.sh("ip link add eth0 type veth peer name other");
    bed.sh("ip link set dev0 up alias mine; ip addr add 10.7.0.1/24 brd + dev dev0");
    let (host, inside) = (bed.state(), pod.state());
    let error = bed.add(&conf(json!({})), &pod).unwrap_err();
    assert!(error.msg.contains("has an interface `eth0` already"), "{error}");
    same("host", &host, &bed.state());
    same("pod", &inside, &pod.state());
}

// Proves: PLG-HOSTDEV-5, PLG-COM-16
#[test]
fn an_add_that_fails_later_brings_the_device_back_up_and_with_its_addresses() {
    let bed = bed();
    let pod = bed.pod("a");
    bed.sh("ip link set dev0 up alias mine; ip addr add 10.7.0.1/24 brd + dev dev0");
    let (host, inside) = (bed.state(), pod.state());
    let unreachable = json!({"type": "static", "addresses": [{"address": "10.1.0.5/24"}], "routes": [{"dst": "10.9.0.0/16", "gw": "10.77.0.1"}]});
    bed.add(&conf(unreachable), &pod).unwrap_err();
    bed.becomes("host", &host);
    same("pod", &inside, &pod.state());
}

// Proves: PLG-HOSTDEV-7
#[test]
fn a_name_that_the_host_gave_away_keeps_the_device_in_the_pod_until_it_is_free() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(bed.host_local("10.1.0.0/24"));
    let result = bed.add(&conf, &pod).unwrap();
    bed.sh("ip link add dev0 type veth peer name other");
    let error = bed.del(&with_result(&conf, &result), &pod).unwrap_err();
    assert!(error.msg.contains("now has another link `dev0`"), "{error}");
    assert!(pod.sh("ip link show eth0").contains("alias dev0"));
    bed.sh("ip link del dev0");
    bed.del(&with_result(&conf, &result), &pod).unwrap();
    assert!(is_back(&bed, &pod) && bed.lease_files() == [""; 0]);
}

// Proves: PLG-HOSTDEV-7, P-DEL-4
#[test]
fn del_succeeds_when_the_netns_or_what_the_selector_leads_to_is_gone() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(bed.host_local("10.1.0.0/24"));
    bed.add(&conf, &pod).unwrap();
    let at = pod.without_netns(Some("/run/netns/gone"));
    drop(pod);
    bed.del_at(&conf, &at).unwrap();
    bed.del_at(&conf, &at).unwrap();
    assert_eq!(bed.lease_files(), [""; 0]);
    bed.sh("ip link del wire 2>/dev/null || true");
    let pod = bed.pod("b");
    bed.sh("ip link add dev0 type veth peer name wire");
    bed.add(&conf, &pod).unwrap();
    let odd = with(
        &conf,
        json!({"device": null, "pciBusID": "ffff:00:00.0", "runtimeConfig": {"deviceID": "ffff:00:00.0"}}),
    );
    bed.del(&odd, &pod).unwrap();
    assert!(is_back(&bed, &pod));
}

// Proves: PLG-HOSTDEV-7
#[test]
fn del_leaves_a_link_alone_that_never_was_the_hosts() {
    let bed = bed();
    let pod = bed.pod("a");
    pod.sh("ip link add eth0 type veth peer name other");
    bed.del(&conf(json!({})), &pod).unwrap();
    assert!(runs(&pod.netns, "ip link show eth0"));
}

// Proves: PLG-HOSTDEV-8, PLG-COM-13
#[test]
fn check_notices_what_has_changed() {
    let bed = bed();
    let pod = bed.pod("a");
    let conf = conf(with(&bed.host_local("10.1.0.0/24"), json!({"routes": [{"dst": "10.9.0.0/16"}]})));
    let result = bed.add(&conf, &pod).unwrap();
    bed.check(&conf, &pod, &result).unwrap();
    for (break_it, mend_it, complaint) in [
        (
            "ip link set eth0 address 02:00:00:00:00:09",
            "ip link set eth0 address 02:00:00:00:00:d0",
            "MAC address",
        ),
        ("ip route del 10.9.0.0/16", "ip route add 10.9.0.0/16 via 10.1.0.1", "no route to `10.9.0.0/16`"),
        (
            "ip addr flush dev eth0",
            "ip addr add 10.1.0.2/24 dev eth0; ip route add 10.9.0.0/16 via 10.1.0.1",
            "has lost address",
        ),
        (
            "ip link set eth0 down; ip link set eth0 name eth9",
            "ip link set eth9 name eth0",
            "no interface `eth0`",
        ),
    ] {
        pod.sh(break_it);
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "{break_it}: {error}");
        pod.sh(mend_it);
    }
    std::fs::remove_file(bed.leases.path().join("steel/10.1.0.2")).unwrap();
    assert!(bed.check(&conf, &pod, &result).is_err(), "IPAM is checked too");
    let no_result: Result<(), _> = bed.check(&conf, &pod, &Default::default());
    assert!(no_result.is_err());
}

// Proves: PLG-HOSTDEV-7
#[test]
fn a_device_that_had_another_mac_address_in_the_pod_comes_back_all_the_same() {
    let bed = bed();
    let pod = bed.pod("a");
    let tuning = json!({"cniVersion": "1.1.0", "name": "steel", "type": "tuning", "mac": "02:00:00:00:00:77",
        "dataDir": bed.leases.path().join("tuning")});
    for (ipam, selector) in [
        (bed.host_local("10.1.0.0/24"), json!({})),
        (json!({}), json!({})),
        (json!({}), json!({"device": "", "hwaddr": MAC})),
    ] {
        let conf = with(&conf(ipam), selector);
        let made = bed.add(&conf, &pod).unwrap();
        let result = bed.add(&with_result(&tuning, &made), &pod).unwrap();
        assert!(pod.sh("ip link show eth0").contains("02:00:00:00:00:77"));
        for plugin in [&tuning, &conf] {
            bed.del(&with_result(plugin, &result), &pod).unwrap();
        }
        assert!(is_back(&bed, &pod), "{conf}");
        assert!(bed.sh("ip link show dev0").contains(MAC));
    }
}
