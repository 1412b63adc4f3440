//! Configurations and calls as people write them for the reference plugins, which read keys in any case and leave what
//! they do not read in CNI_ARGS to their IPAM.

use manifold_cni::Version;
use serde_json::{Value, json};

use crate::bed::{Bed, Pod, with, with_result};
use crate::differential::reference;

fn macvlan(bed: &Bed, further: Value) -> Value {
    bed.sh("ip link show up0 2>/dev/null || { ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; }");
    let base = json!({"cniVersion": "1.0.0", "name": "green", "type": "macvlan", "master": "up0",
        "ipam": {"type": "static", "addresses": [{"address": "10.5.0.2/24"}]}});
    with(&base, further)
}

fn ipv6_settings(pod: &Pod, ifname: &str) -> String {
    pod.sh(&format!("cd /proc/sys/net/ipv6/conf/{ifname}; echo $(cat accept_ra disable_ipv6)"))
}

fn in_odd_case(bed: &Bed) -> Value {
    let ipam = json!({"Type": "host-local", "datadir": bed.leases.path(), "Routes": [{"DST": "10.9.0.0/16"}],
        "Ranges": [[{"Subnet": "10.1.0.0/24", "rangestart": "10.1.0.9"}]]});
    json!({"cniVersion": "1.0.0", "name": "n", "type": "bridge", "Bridge": "brk", "isgateway": true, "hairpinmode": true,
        "IPAM": ipam, "capabilities": {"mac": true}, "RuntimeConfig": {"MAC": "02:00:00:00:00:07"}})
}

// Proves: COMPAT-6
#[test]
fn keys_in_another_case_mean_what_they_mean_to_the_reference() {
    let (theirs, bed) = (Bed::new(), Bed::new());
    let (their_pod, pod) = (theirs.pod("a"), bed.pod("a"));
    let expected = reference(&theirs, "ADD", &in_odd_case(&theirs), &their_pod).unwrap();
    let conf = in_odd_case(&bed);
    let result = bed.add(&conf, &pod).unwrap();
    let answer: Value = serde_json::from_slice(&result.to_json(Version::V1_0_0).unwrap()).unwrap();
    assert_eq!((&answer["ips"], &answer["routes"]), (&expected["ips"], &expected["routes"]));
    assert_eq!(result.ips[0].address.to_string(), "10.1.0.9/24");
    assert_eq!(result.interfaces[2].mac, "02:00:00:00:00:07");
    for script in [
        "ip -4 -o addr show brk | grep -o 'inet [^ ]*'",
        "ip -d link show master brk | grep -o 'hairpin o[nf]*'",
    ] {
        assert_eq!(bed.sh(script), theirs.sh(script));
    }
    assert_eq!(pod.sh("ip route"), their_pod.sh("ip route"));
    assert_eq!(bed.lease_files(), theirs.lease_files());
    bed.check(&conf, &pod, &result).unwrap();
    bed.del(&conf, &pod).unwrap();
    assert_eq!(bed.lease_files(), [""; 0]);
}

// Proves: COMPAT-6
#[test]
fn the_exact_spelling_of_a_key_wins() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "bridge", "BRIDGE": "other", "bridge": "brk", "Bridge": "third",
        "ipam": bed.host_local("10.1.0.0/24")});
    assert_eq!(bed.add(&conf, &pod).unwrap().interfaces[0].name, "brk");
    bed.del(&conf, &pod).unwrap();
}

// Proves: COMPAT-23
#[test]
fn a_plugin_that_reads_nothing_of_cni_args_leaves_them_to_its_ipam() {
    let bed = Bed::new();
    bed.sh("ip link add dev0 type veth peer name wire; ip link set wire up");
    let pod = bed.pod("a");
    let conf = json!({"cniVersion": "1.0.0", "name": "n", "type": "host-device", "device": "dev0",
        "ipam": bed.host_local("10.9.0.0/24")});
    let result = bed.add_as(&conf, &pod, "eth0", "IP=10.9.0.77").unwrap();
    assert_eq!(result.ips[0].address.to_string(), "10.9.0.77/24");
    bed.del(&conf, &pod).unwrap();
}

// Proves: COMPAT-23
#[test]
fn no_plugin_without_keys_of_its_own_refuses_some() {
    for (kind, further) in [
        ("host-device", json!({"device": "no-such"})),
        ("ipvlan", json!({"master": "no-such"})),
        ("vlan", json!({"master": "no-such", "vlanId": 5})),
        ("bond", json!({"mode": "active-backup", "links": [{"name": "no-such"}, {"name": "nor-this"}]})),
        ("dummy", json!({"ipam": {"type": "static", "addresses": [{"address": "10.9.0.5"}]}})),
    ] {
        let bed = Bed::new();
        let conf = with(
            &json!({"cniVersion": "1.0.0", "name": "n", "type": kind, "ipam": bed.host_local("10.9.0.0/24")}),
            further,
        );
        let error = bed.add_as(&conf, &bed.pod("a"), "eth0", "IP=10.9.0.77").unwrap_err();
        assert!(error.code != 4 && !error.to_string().contains("CNI_ARGS has"), "{kind}: {error}");
    }
}

// Proves: COMPAT-10, S-10
#[test]
fn ipv6_settings_by_tuning_have_their_effect_on_an_interface_with_ipv4_only() {
    let bed = Bed::new();
    let tuning = |settings: Value| {
        json!({"cniVersion": "1.0.0", "name": "green", "type": "tuning",
        "dataDir": bed.leases.path().join("tuning"), "sysctl": settings})
    };
    for (id, settings, expected) in [
        ("a", json!({"net.ipv6.conf.IFNAME.accept_ra": "2"}), "2 0"),
        ("b", json!({"net.ipv6.conf.eth0.addr_gen_mode": "1"}), "0 0"),
        ("c", json!({"net.ipv6.conf.IFNAME.accept_ra": "0"}), "0 1"),
        (
            "d",
            json!({"net.ipv6.conf.IFNAME.accept_ra": "2", "net.ipv6.conf.IFNAME.disable_ipv6": "1"}),
            "2 1",
        ),
        ("e", json!({"net.ipv4.conf.IFNAME.arp_filter": "1"}), "1 1"),
    ] {
        let (pod, conf) = (bed.pod(id), tuning(settings));
        let made = bed.add(&macvlan(&bed, json!({})), &pod).unwrap();
        let result = bed.add(&with_result(&conf, &made), &pod).unwrap();
        assert_eq!(ipv6_settings(&pod, "eth0"), expected, "{conf}");
        bed.check(&conf, &pod, &result).unwrap();
        bed.check(&macvlan(&bed, json!({})), &pod, &result).unwrap();
    }
    // A namespace without IPv6 stays so.
    let pod = bed.pod("f");
    pod.sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    let made = bed.add(&macvlan(&bed, json!({})), &pod).unwrap();
    bed.add(&with_result(&tuning(json!({"net.ipv6.conf.IFNAME.accept_ra": "2"})), &made), &pod).unwrap();
    assert_eq!(ipv6_settings(&pod, "eth0"), "2 1");
}

// Proves: COMPAT-10
#[test]
fn a_network_can_keep_ipv6_on_an_interface_with_ipv4_only() {
    let bed = Bed::new();
    let ipam = bed.host_local("10.6.0.0/24");
    let base = |kind: &str| json!({"cniVersion": "1.0.0", "name": "green", "type": kind, "ipam": ipam});
    for (id, conf) in [
        ("a", macvlan(&bed, json!({}))),
        ("b", with(&base("bridge"), json!({"bridge": "brk"}))),
        ("c", base("ptp")),
    ] {
        let pod = bed.pod(id);
        bed.add_as(&conf, &pod, "off0", "").unwrap();
        assert_eq!(ipv6_settings(&pod, "off0").split(' ').next_back(), Some("1"), "{conf}");
        let keeping = with(&conf, json!({"ipv6": "keep"}));
        let kept = bed.pod(&format!("{id}-kept"));
        let result = bed.add(&keeping, &kept).unwrap();
        // What routers advertise is still not taken.
        assert_eq!(ipv6_settings(&kept, "eth0"), "0 0", "{conf}");
        bed.check(&keeping, &kept, &result).unwrap();
        bed.del(&keeping, &kept).unwrap();
        let error = bed.add(&with(&conf, json!({"ipv6": "on"})), &kept).unwrap_err();
        assert!(error.to_string().contains("`ipv6` is `on`"), "{error}");
    }
}
