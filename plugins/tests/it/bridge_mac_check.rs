//! `macspoofchk` of `bridge`: frames that it drops, and rules under names that pods choose.

use serde_json::json;

use crate::bed::{Bed, same, with};
use crate::bridge::{conf, pair};

// Proves: PLG-BRIDGE-10, PLG-BRIDGE-14, PLG-BRIDGE-22
#[test]
fn frames_from_a_mac_address_that_is_not_the_pods_are_dropped() {
    let bed = Bed::new();
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"macspoofchk": true}));
    let (a, _b, address) = pair(&bed, &conf);
    let rules = bed.sh("nft list table bridge nat");
    for expected in [
        "type filter hook prerouting priority dstnat",
        "chain cni-br-iface-a-eth0 {",
        "chain cni-br-iface-a-eth0-mac {",
        "jump cni-br-iface-a-eth0 comment \"macspoofchk-a-eth0",
    ] {
        assert!(rules.contains(expected), "{expected}: {rules}");
    }
    assert!(a.pings(&address));
    a.sh("ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up");
    assert!(a.pings_not(&address));
    bed.del(&conf, &a).unwrap();
    let rules = bed.sh("nft list table bridge nat");
    assert!(!rules.contains("iface-a-eth0") && rules.contains("iface-b-eth0"), "{rules}");
}

// Proves: COMPAT-27, COMPAT-27.2
#[test]
fn check_misses_every_rule_of_the_mac_address_check() {
    let bed = Bed::new();
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"macspoofchk": true}));
    let other = bed.pod("b");
    let its_result = bed.add(&conf, &other).unwrap();
    let mut n = 0;
    loop {
        let pod = bed.pod("a");
        let result = bed.add(&conf, &pod).unwrap();
        bed.check(&conf, &pod, &result).unwrap();
        let listed = bed.sh("nft -a list table bridge nat");
        let mut chain = "";
        let mut removals = vec![];
        for line in listed.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("chain ") {
                chain = name.split(' ').next().unwrap();
            } else if ["\"", ", net "].iter().any(|end| line.contains(&format!("macspoofchk-a-eth0{end}"))) {
                let handle = line.rsplit(' ').next().unwrap();
                removals.push(format!("nft delete rule bridge nat {chain} handle {handle}"));
            }
        }
        assert_eq!(removals.len(), 4, "{listed}");
        let Some(removal) = removals.get(n) else { break };
        bed.sh(removal);
        let error = bed.check(&conf, &pod, &result).unwrap_err();
        assert!(error.msg.contains("check of the pod's MAC address"), "{error}");
        bed.check(&conf, &other, &its_result).unwrap();
        bed.del(&conf, &pod).unwrap();
        n += 1;
    }
    bed.sh("nft flush ruleset");
    assert!(bed.check(&conf, &other, &its_result).is_err());
    bed.del(&conf, &other).unwrap();
}

/// What `nft` prints, it reads: a ruleset that the administrator saves can be loaded.
fn loads_back(bed: &Bed, what: &str) {
    let file = bed.leases.path().join("saved");
    let file = file.display();
    let before = bed.sh(&format!("nft list ruleset | tee {file}; nft flush ruleset"));
    bed.sh(&format!("nft -f {file} || {{ cat {file} >&2; exit 1; }}"));
    same(what, &before, &bed.sh("nft list ruleset"));
}

// Proves: COMPAT-28.4, S-9
#[test]
fn a_saved_ruleset_loads_back_whatever_a_pod_called_its_interface() {
    let mut names: Vec<String> =
        ["$(reboot)", "a;b|c&d", "a\"b\\", "-j", "'{}'", "é*?", "#x", "@x", "1", "a,b", "*", "drop"]
            .map(str::to_owned)
            .to_vec();
    names.extend((33_u8..127).map(char::from).filter(|c| !"/:%".contains(*c)).map(|c| format!("{c}x{c}")));
    let bed = Bed::new();
    let first = with(
        &conf(bed.host_local("10.1.0.0/24")),
        json!({"macspoofchk": true, "ipMasq": true, "isGateway": true}),
    );
    let chained = |kind: &str| {
        json!({"cniVersion": "1.1.0", "name": "blue", "type": kind, "backend": "nftables",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}})
    };
    let pod = bed.pod("c1");
    let mut results = vec![];
    for name in &names {
        let made = bed.add_as(&first, &pod, name, "").unwrap();
        for kind in ["portmap", "firewall"] {
            bed.add_as(&crate::bed::with_result(&chained(kind), &made), &pod, name, "").unwrap();
        }
        results.push(made);
    }
    loads_back(&bed, "all names");
    for (name, made) in names.iter().zip(&results) {
        bed.check_as(&first, &pod, name, made).unwrap();
        for conf in [chained("portmap"), chained("firewall"), first.clone()] {
            bed.del_at(&crate::bed::with_result(&conf, made), &pod.at(name, "").detach()).unwrap();
        }
    }
    let left = bed.sh("nft list ruleset");
    assert!(!left.contains("comment") && !left.contains("cni-br-iface"), "{left}");
}

// Proves: PLG-BRIDGE-14
#[test]
fn chains_under_the_names_that_an_older_version_gave_go_with_the_attachment() {
    let bed = Bed::new();
    let conf = with(&conf(bed.host_local("10.1.0.0/24")), json!({"macspoofchk": true}));
    let pod = bed.pod("c1");
    bed.add_as(&conf, &pod, "a;b", "").unwrap();
    let old = "cni-br-iface-c1-a;b";
    let chain = |name: &str| json!({"add": {"chain": {"family": "bridge", "table": "nat", "name": name}}});
    let jump = json!({"add": {"rule": {"family": "bridge", "table": "nat", "chain": old,
        "expr": [{"jump": {"target": format!("{old}-mac")}}]}}});
    let batch = json!({"nftables": [chain(old), chain(&format!("{old}-mac")), jump]}).to_string();
    std::fs::write(bed.leases.path().join("batch"), batch).unwrap();
    bed.sh(&format!("nft -j -f {}/batch", bed.leases.path().display()));
    bed.del_at(&conf, &pod.at("a;b", "").detach()).unwrap();
    let left = bed.sh("nft list ruleset");
    assert!(!left.contains("cni-br-iface"), "{left}");
}

// Proves: S-9
#[test]
fn hostile_names_reach_no_shell_and_no_rule_but_their_own() {
    let bed = Bed::new();
    let conf = with(
        &conf(bed.host_local("10.1.0.0/24")),
        json!({"macspoofchk": true, "ipMasq": true, "isGateway": true}),
    );
    let warm = bed.pod("warm");
    bed.add(&conf, &warm).unwrap();
    bed.del(&conf, &warm).unwrap();
    let before = bed.state();
    let long = "x".repeat(200);
    for (id, ifname) in [
        ("c1", "$(reboot)"),
        ("c1", "a;b|c&d"),
        ("c1", "a\"b\\"),
        ("c1", "-j"),
        ("c1", "'{}'"),
        ("c1", "é*?"),
        (long.as_str(), "eth0"),
    ] {
        let pod = bed.pod(id);
        let result = bed.add_as(&conf, &pod, ifname, "").unwrap_or_else(|error| panic!("{ifname}: {error}"));
        assert!(pod.pings("10.1.0.1"), "{ifname}");
        bed.check_as(&conf, &pod, ifname, &result).unwrap();
        bed.del_at(&conf, &pod.at(ifname, "").detach()).unwrap();
        same(ifname, &before, &bed.state());
    }
}
