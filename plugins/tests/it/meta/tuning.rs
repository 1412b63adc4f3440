//! `tuning`: every attribute and setting, the way there and back.

use manifold_cni::{AttachmentId, Call, Plugin};
use manifold_plugins::meta::{TUNING, Tuning};
use serde_json::{Value, json};

use super::{add_both, chained, ptp};
use crate::bed::{Bed, Pod, fail_at, failing, input, same, with, with_result};

fn conf(bed: &Bed, further: Value) -> Value {
    chained("tuning", with(&json!({"dataDir": bed.leases.path().join("tuning")}), further))
}

fn everything(bed: &Bed) -> Value {
    conf(
        bed,
        json!({"mac": "02:00:00:00:00:07", "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
            "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net/ipv4/ip_local_port_range": "2000 3000"}}),
    )
}

fn attributes(pod: &Pod) -> String {
    pod.sh("ip -d -o link show eth0 | tr ' ' '\\n' | grep -A1 -E '^(mtu|qlen|link/ether|promiscuity|allmulti)$|PROMISC|ALLMULTI'")
}

fn backups(bed: &Bed) -> Vec<(String, Value)> {
    let Ok(entries) = std::fs::read_dir(bed.leases.path().join("tuning")) else { return Vec::new() };
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    };
    entries.map(read).collect()
}

// Proves: PLG-TUNING-1, PLG-TUNING-6, PLG-TUNING-7, PLG-TUNING-8
#[test]
fn add_changes_what_is_asked_keeps_what_was_and_del_restores_it() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&ptp(&bed), &pod).unwrap();
    let (before, conf) = (attributes(&pod), everything(&bed));
    let result = bed.add(&with_result(&conf, &made), &pod).unwrap();
    let mut expected = made.clone();
    expected.interfaces[1].mac = "02:00:00:00:00:07".into();
    expected.interfaces[1].mtu = Some(1400);
    assert_eq!(result, expected);
    let link = pod.sh("ip -d -o link show eth0");
    for part in ["PROMISC", "ALLMULTI", "mtu 1400", "qlen 77", "02:00:00:00:00:07"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    assert_eq!(pod.sh("cat /proc/sys/net/ipv4/conf/eth0/arp_filter"), "1");
    assert_eq!(pod.sh("cat /proc/sys/net/ipv4/ip_local_port_range"), "2000\t3000");
    let (name, saved) = &backups(&bed)[0];
    assert_eq!(name, "a_eth0.json");
    let was = json!({"mac": made.interfaces[1].mac, "promisc": false, "mtu": 1500, "allmulti": false,
        "txQLen": saved["txQLen"], "network": "blue"});
    assert_eq!(saved, &was);
    assert!(pod.pings("10.1.0.1"), "the new MAC address works");
    bed.check_as(&conf, &pod, "eth0", &result).unwrap();
    for _ in 0..2 {
        bed.del(&with_result(&conf, &result), &pod).unwrap();
        assert_eq!(attributes(&pod), before);
        assert_eq!(backups(&bed), []);
    }
    assert_eq!(
        pod.sh("cat /proc/sys/net/ipv4/conf/eth0/arp_filter"),
        "1",
        "settings stay with the namespace"
    );
}

// Proves: PLG-TUNING-6
#[test]
fn only_what_changes_is_kept_and_the_first_of_two_plugins_keeps_the_original() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let first = conf(&bed, json!({"mtu": 1400}));
    let (_, changed) = add_both(&bed, &ptp(&bed), &first, &pod);
    assert_eq!(backups(&bed)[0].1, json!({"mtu": 1500, "network": "blue"}));
    let second = conf(&bed, json!({"mtu": 1300, "allmulti": false}));
    bed.add(&with_result(&second, &changed), &pod).unwrap();
    assert_eq!(backups(&bed)[0].1, json!({"mtu": 1500, "allmulti": false, "network": "blue"}));
    bed.del(&second, &pod).unwrap();
    bed.del(&first, &pod).unwrap();
    assert!(pod.sh("ip link show eth0").contains("mtu 1500"));
    // Settings alone need no file.
    let third = conf(&bed, json!({"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}, "promisc": false}));
    bed.add(&with_result(&third, &changed), &pod).unwrap();
    assert_eq!(backups(&bed), []);
}

/// The result of a device that is bound to `vfio-pci`: it is in the pod, and no interface is.
fn without_interface(conf: &Value, pod: &Pod) -> Value {
    let result = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": pod.path(),
        "pciID": "0000:3b:02.1"}], "ips": []});
    with(conf, json!({"prevResult": result}))
}

// Proves: COMPAT-21, COMPAT-21.1
#[test]
fn settings_alone_need_no_interface_and_attributes_do() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let settings = conf(&bed, json!({"sysctl": {"net.core.somaxconn": "500"}}));
    let called = without_interface(&settings, &pod);
    let result = bed.add(&called, &pod).unwrap();
    assert_eq!(result.interfaces[0].pci_id, "0000:3b:02.1");
    assert_eq!(pod.sh("cat /proc/sys/net/core/somaxconn"), "500");
    bed.check(&settings, &pod, &result).unwrap();
    pod.sh("echo 501 > /proc/sys/net/core/somaxconn");
    assert!(bed.check(&settings, &pod, &result).unwrap_err().msg.contains("somaxconn"));
    bed.del(&called, &pod).unwrap();
    assert_eq!(backups(&bed), []);
    for further in [
        json!({"mac": "02:00:00:00:00:07"}),
        json!({"mtu": 1400}),
        json!({"promisc": true}),
        json!({"allmulti": false}),
        json!({"txQLen": 7}),
        json!({"sysctl": {"net.core.somaxconn": "600", "net.ipv4.conf.IFNAME.arp_filter": "1"}}),
    ] {
        let asked = conf(&bed, further);
        let error = bed.add(&without_interface(&asked, &pod), &pod).unwrap_err();
        assert!(error.msg.contains("eth0"), "{error}");
        assert!(bed.check(&asked, &pod, &result).is_err());
        assert_eq!(pod.sh("cat /proc/sys/net/core/somaxconn"), "501", "what was written is taken back");
    }
}

// Proves: PLG-TUNING-8
#[test]
fn del_succeeds_without_backup_link_or_namespace() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = everything(&bed);
    bed.del(&conf, &pod).unwrap();
    for broken in ["", "{", "[]", "{\"mtu\":-1}", "{\"mac\":\"x\"}"] {
        std::fs::create_dir_all(bed.leases.path().join("tuning")).unwrap();
        std::fs::write(bed.leases.path().join("tuning/a_eth0.json"), broken).unwrap();
        bed.del(&conf, &pod).unwrap();
        assert_eq!(backups(&bed), [], "{broken}");
    }
    add_both(&bed, &ptp(&bed), &conf, &pod);
    pod.sh("ip link del eth0");
    bed.del(&conf, &pod).unwrap();
    assert_eq!(backups(&bed), []);
    for (id, path) in [("b", None), ("c", Some("/run/netns/never-there"))] {
        let pod = bed.pod(id);
        add_both(&bed, &ptp(&bed), &conf, &pod);
        bed.del_at(&conf, &pod.without_netns(path)).unwrap();
        assert_eq!(backups(&bed), []);
    }
}

// Proves: COMPAT-28.1
#[test]
fn a_new_mac_address_passes_the_mac_address_check_of_the_bridge_and_the_old_one_does_not() {
    let bed = Bed::new();
    let (pod, peer) = (bed.pod("a"), bed.pod("b"));
    let bridge = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isGateway": true,
        "macspoofchk": true, "ipam": bed.host_local("10.1.0.0/24")});
    bed.add(&bridge, &peer).unwrap();
    let made = bed.add(&bridge, &pod).unwrap();
    let old = made.interfaces[2].mac.clone();
    let tuning = conf(&bed, json!({"mac": "02:00:00:00:00:07"}));
    let failing = Tuning { after_step: failing, ..TUNING };
    fail_at(2);
    bed.add_with(&failing, &with_result(&tuning, &made), &pod, "eth0", "").unwrap_err();
    assert!(
        pod.pings("10.1.0.1"),
        "what was undone is undone in the rules too: {}",
        bed.sh("nft list ruleset")
    );
    let result = bed.add(&with_result(&tuning, &made), &pod).unwrap();
    assert!(pod.pings("10.1.0.1"), "{}", bed.sh("nft list ruleset"));
    for conf in [&tuning, &bridge] {
        bed.check(conf, &pod, &result).unwrap();
    }
    pod.sh(&format!("ip link set eth0 address {old}"));
    assert!(pod.pings_not("10.1.0.1"));
    assert!(peer.pings("10.1.0.1"), "the rules of other pods are left alone");
    for conf in [&tuning, &bridge] {
        bed.del(&with_result(conf, &result), &pod).unwrap();
    }
    assert!(!bed.sh("nft list ruleset").contains("iface-a"));
}

// Proves: PLG-TUNING-9
#[test]
fn check_finds_every_difference() {
    for (script, complaint) in [
        ("ip link set eth0 address 02:00:00:00:00:08", "the MAC address"),
        ("ip link set eth0 promisc off", "promiscuous mode"),
        ("ip link set eth0 mtu 1399", "the MTU"),
        ("ip link set eth0 allmulticast off", "all-multicast mode"),
        ("ip link set eth0 txqueuelen 78", "the transmit queue length"),
        ("echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter", "`net/ipv4/conf/eth0/arp_filter` is `0`"),
        ("echo 2000 3001 > /proc/sys/net/ipv4/ip_local_port_range", "ip_local_port_range"),
    ] {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let conf = everything(&bed);
        let (_, result) = add_both(&bed, &ptp(&bed), &conf, &pod);
        bed.check(&conf, &pod, &result).unwrap();
        pod.sh(script);
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains(complaint), "after `{script}`: {error}");
    }
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = conf(&bed, json!({"mtu": 1400}));
    let (_, result) = add_both(&bed, &ptp(&bed), &conf, &pod);
    pod.sh("ip link set eth0 promisc on");
    let error = bed.check(&conf, &pod, &result).unwrap_err();
    assert!(error.msg.contains("promiscuous mode"), "it was not asked for, and is on: {error}");
}

// Proves: PLG-TUNING-5
#[test]
fn a_name_with_a_separator_and_a_call_without_prev_result_are_refused() {
    let environment = |key: &str| match key {
        "CNI_COMMAND" => Some("ADD".to_owned()),
        "CNI_IFNAME" => Some("a/b".to_owned()),
        _ => Some("x".to_owned()),
    };
    assert!(Call::from_env(environment).unwrap_err().msg.contains("`a/b`"));
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.add(&everything(&bed), &pod).unwrap_err();
    assert!(error.code == 7 && error.msg.contains("chained plugin"), "{error}");
    let at = pod.at("eth0", "");
    let error = bed.host.run(|| TUNING.check(&input(&everything(&bed)), &at)).unwrap().unwrap_err();
    assert!(error.msg.contains("chained plugin"), "{error}");
}

// Proves: PLG-TUNING-2
#[test]
fn a_setting_that_the_node_does_not_allow_is_refused_before_anything_is_touched() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&ptp(&bed), &pod).unwrap();
    let list = bed.leases.path().join("allowlist.conf");
    std::fs::write(&list, "^net\\.ipv4\\.conf\\.IFNAME\\.").unwrap();
    let plugin = Tuning { allow_list: list.to_str().unwrap().to_owned().leak(), ..TUNING };
    let before = pod.state() + &attributes(&pod);
    let error = bed.add_with(&plugin, &with_result(&everything(&bed), &made), &pod, "eth0", "").unwrap_err();
    assert!(
        error.msg.contains("does not allow the kernel setting `net/ipv4/ip_local_port_range`"),
        "{error}"
    );
    same("pod", &before, &(pod.state() + &attributes(&pod)));
    assert_eq!(pod.sh("cat /proc/sys/net/ipv4/conf/eth0/arp_filter"), "0");
    let allowed = conf(&bed, json!({"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}));
    bed.add_with(&plugin, &with_result(&allowed, &made), &pod, "eth0", "").unwrap();
}

// Proves: PLG-COM-16
#[test]
fn a_failure_after_any_step_takes_everything_back() {
    let plugin = Tuning { after_step: failing, ..TUNING };
    for step in 0.. {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let made = bed.add(&ptp(&bed), &pod).unwrap();
        let settings = "cat /proc/sys/net/ipv4/conf/eth0/arp_filter /proc/sys/net/ipv4/ip_local_port_range";
        let before = pod.state() + &attributes(&pod) + &pod.sh(settings);
        fail_at(step);
        let outcome = bed.add_with(&plugin, &with_result(&everything(&bed), &made), &pod, "eth0", "");
        fail_at(usize::MAX);
        if outcome.is_ok() {
            assert!(step >= 4, "every step failed once");
            break;
        }
        same("pod", &before, &(pod.state() + &attributes(&pod) + &pod.sh(settings)));
        assert_eq!(backups(&bed), [], "after step {step}");
    }
    // A value that the kernel refuses.
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&ptp(&bed), &pod).unwrap();
    let odd = conf(
        &bed,
        json!({"mtu": 1400, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.nothing": "1"}}),
    );
    let error = bed.add(&with_result(&odd, &made), &pod).unwrap_err();
    assert!(error.msg.contains("net/core/nothing"), "{error}");
    assert_eq!(pod.sh("cat /proc/sys/net/ipv4/conf/eth0/arp_filter"), "0");
    assert!(pod.sh("ip link show eth0").contains("mtu 1500"));
}

// Proves: PLG-COM-19
#[test]
fn gc_removes_backups_of_the_dead_of_its_own_network_only() {
    let bed = Bed::new();
    let conf = everything(&bed);
    let (alive, dead, other) = (bed.pod("alive"), bed.pod("dead"), bed.pod("other"));
    add_both(&bed, &ptp(&bed), &conf, &alive);
    add_both(&bed, &ptp(&bed), &conf, &dead);
    add_both(&bed, &ptp(&bed), &with(&conf, json!({"name": "red"})), &other);
    std::fs::write(bed.leases.path().join("tuning/alien.json"), "{}").unwrap();
    bed.gc(&conf, &[&alive]).unwrap();
    let mut left: Vec<_> = backups(&bed).into_iter().map(|(name, _)| name).collect();
    left.sort();
    assert_eq!(left, ["alien.json", "alive_eth0.json", "other_eth0.json"]);
    let none: [AttachmentId; 0] = [];
    bed.host.run(|| TUNING.gc(&input(&conf), &none)).unwrap().unwrap();
    assert_eq!(backups(&bed).len(), 2);
}
