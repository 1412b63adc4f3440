//! Masquerading: whose source address does the world see, with which rules, and what stays of them.

use serde_json::{Value, json};

use crate::bed::{Bed, Pod, same, with};

fn conf(bed: &Bed, further: Value) -> Value {
    let conf = json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
        "ipMasq": true, "ipam": bed.host_local("10.1.0.0/24")});
    with(&conf, further)
}

/// The world beyond the host: it knows no way back to the pods, so it answers only what comes from the host.
fn world(bed: &Bed) -> Pod {
    let world = bed.pod("world");
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad");
    let net = manifold_net::Net::inside(&bed.host).unwrap();
    let moved = net.link("up1").unwrap().unwrap().index;
    net.move_changed(moved, &world.netns, &manifold_net::LinkChange::default()).unwrap();
    world.sh(
        "ip link set up1 up; ip addr add 192.0.2.2/24 dev up1; ip -6 addr add 2001:db8::2/64 dev up1 nodad",
    );
    world
}

fn reaches_the_world(backend: Option<&str>) {
    let bed = Bed::new();
    let _world = world(&bed);
    let conf = conf(&bed, json!({"ipMasqBackend": backend}));
    let (a, b) = (bed.pod("a"), bed.pod("b"));
    bed.add(&with(&conf, json!({"ipMasq": false})), &a).unwrap();
    let masked = bed.add(&conf, &b).unwrap();
    assert!(a.pings_not("192.0.2.2"), "without masquerading nobody can answer");
    assert!(b.pings("192.0.2.2"), "{}", bed.state());
    // Inside its own network the pod keeps its address.
    a.sh("nft add table ip seen; nft add chain ip seen in '{ type filter hook input priority 0; }'; \
          nft add rule ip seen in icmp type echo-request counter");
    let own = masked.ips[0].address.addr().to_string();
    a.sh(&format!(
        "nft insert rule ip seen in ip saddr {own} icmp type echo-request counter accept comment pod"
    ));
    let first = a.sh("ip -4 -o addr show eth0 | sed -E 's/.*inet ([0-9.]+).*/\\1/'");
    assert!(b.pings(&first));
    assert!(
        a.sh("nft list table ip seen")
            .lines()
            .any(|l| l.contains("comment \"pod\"") && !l.contains("packets 0"))
    );
}

// Proves: PLG-BRIDGE-4, PLG-COM-21
#[test]
fn nftables_gives_the_pod_the_hosts_address_beyond_its_own_network() {
    reaches_the_world(Some("nftables"));
    reaches_the_world(None);
}

// Proves: PLG-BRIDGE-4, PLG-COM-20
#[test]
fn iptables_gives_the_pod_the_hosts_address_beyond_its_own_network() {
    reaches_the_world(Some("iptables"));
}

// Proves: PLG-COM-21
#[test]
fn the_table_has_the_form_that_peers_read() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(),
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    bed.add(&conf(&bed, json!({"ipam": ipam})), &pod).unwrap();
    let table = bed.sh("nft list table inet cni_plugins_masquerade");
    let comment = "comment \"d6077a19f538d533-";
    for expected in [
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip daddr 224.0.0.0/4 return",
        "ip6 daddr ff00::/8 return",
        "goto masq_checks",
        &format!("ip saddr 10.1.0.2 ip daddr != 10.1.0.0/24 masquerade {comment}"),
        &format!("ip6 saddr fd00:1::2 ip6 daddr != fd00:1::/64 masquerade {comment}"),
        ", net: blue, if: eth0, id: a\"",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

// Proves: PLG-COM-21
#[test]
fn stale_rules_of_the_same_attachment_are_replaced() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = conf(&bed, json!({}));
    bed.add(&conf, &pod).unwrap();
    // An ADD that was cut short: the link is gone, the rules are not.
    pod.sh("ip link del eth0");
    std::fs::remove_file(bed.leases.path().join("blue/10.1.0.2")).unwrap();
    bed.add(&conf, &pod).unwrap();
    let table = bed.sh("nft list table inet cni_plugins_masquerade");
    assert!(!table.contains("10.1.0.2 ") && table.contains("ip saddr 10.1.0.3 "), "{table}");
}

// Proves: PLG-COM-20, PLG-BRIDGE-22
#[test]
fn the_iptables_chain_has_the_peers_name_and_goes_with_the_attachment() {
    let bed = Bed::new();
    let pod = bed.pod("1234567890");
    let conf = conf(&bed, json!({"name": "test", "ipMasqBackend": "iptables"}));
    bed.add(&conf, &pod).unwrap();
    let rules = bed.sh("iptables -t nat -S");
    let (chain, comment) =
        ("CNI-ec6be9dbcd78350c3690950e", r#"-m comment --comment "name: \"test\" id: \"1234567890\"""#);
    for expected in [
        format!("-A POSTROUTING -s 10.1.0.2/32 {comment} -j {chain}"),
        format!("-A {chain} -d 10.1.0.0/24 {comment} -j ACCEPT"),
        format!("-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
    ] {
        assert!(rules.lines().any(|rule| rule == expected), "{expected}: {rules}");
    }
    let at = pod.without_netns(None);
    drop(pod);
    bed.del_at(&conf, &at).unwrap();
    let rules = bed.sh("iptables -t nat -S");
    assert!(!rules.contains("CNI-"), "{rules}");
}

// Proves: PLG-COM-22
#[test]
fn del_clears_whichever_backend_add_used() {
    let bed = Bed::new();
    for (at_add, at_del) in [("iptables", "nftables"), ("nftables", "iptables")] {
        let pod = bed.pod("a");
        bed.add(&conf(&bed, json!({"ipMasqBackend": at_add})), &pod).unwrap();
        bed.del(&conf(&bed, json!({"ipMasqBackend": at_del})), &pod).unwrap();
        let rules = bed.sh("nft list ruleset; iptables -t nat -S");
        assert!(!rules.contains("id: a") && !rules.contains("CNI-"), "{at_add}: {rules}");
    }
    let pod = bed.pod("b");
    let before = bed.state();
    assert_eq!(bed.add(&conf(&bed, json!({"ipMasqBackend": "pf"})), &pod).unwrap_err().code, 7);
    same("host", &before, &bed.state());
}

// Proves: PLG-COM-19, PLG-COM-23
#[test]
fn gc_clears_iptables_rules_of_the_stale() {
    let bed = Bed::new();
    let (alive, stale) = (bed.pod("alive"), bed.pod("stale"));
    let conf = conf(&bed, json!({"ipMasqBackend": "iptables"}));
    for pod in [&alive, &stale] {
        bed.add(&conf, pod).unwrap();
    }
    bed.gc(&conf, &[&alive]).unwrap();
    let rules = bed.sh("iptables -t nat -S");
    assert!(rules.contains(r#"id: \"alive\""#) && !rules.contains("stale"), "{rules}");
    assert_eq!(rules.lines().filter(|rule| rule.starts_with("-N CNI-")).count(), 1, "{rules}");
}

// Proves: PLG-BRIDGE-22
#[test]
fn del_clears_iptables_rules_of_a_link_that_has_lost_its_addresses() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = conf(&bed, json!({"ipMasqBackend": "iptables"}));
    bed.add(&conf, &pod).unwrap();
    pod.sh("ip addr flush dev eth0");
    bed.del(&conf, &pod).unwrap();
    let rules = bed.sh("iptables -t nat -S");
    assert!(!rules.contains("CNI-"), "{rules}");
}

/// Each change that takes one part of what masquerades the pod, as commands.
fn removals(bed: &Bed, backend: &str) -> Vec<String> {
    if backend == "iptables" {
        let lines = bed.sh("iptables -t nat -S; ip6tables -t nat -S | sed 's/^/6/'");
        let rules = lines.lines().filter_map(|line| {
            let (tool, rule) = line.strip_prefix('6').map_or(("iptables", line), |rule| ("ip6tables", rule));
            rule.strip_prefix("-A ").map(|rule| format!("{tool} -t nat -D {rule}"))
        });
        return rules.collect();
    }
    let listed = bed.sh("nft -a list table inet cni_plugins_masquerade");
    let handles = listed
        .lines()
        .filter(|line| line.contains("masquerade comment") || line.contains("goto masq_checks"));
    let rule = |line: &str| {
        let chain = if line.contains("goto") { "postrouting" } else { "masq_checks" };
        format!(
            "nft delete rule inet cni_plugins_masquerade {chain} handle {}",
            line.rsplit(' ').next().unwrap()
        )
    };
    let whole = [
        "nft flush ruleset",
        "nft delete table inet cni_plugins_masquerade",
        "nft flush chain inet cni_plugins_masquerade postrouting",
    ];
    handles.map(rule).chain(whole.map(str::to_owned)).collect()
}

// Proves: COMPAT-27, COMPAT-27.1
#[test]
fn check_misses_every_masquerading_rule_in_either_backend() {
    for (backend, least) in [("nftables", 6), ("iptables", 6)] {
        for kind in ["bridge", "ptp"] {
            let bed = Bed::new();
            let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(),
                "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
            let conf = conf(&bed, json!({"type": kind, "ipMasqBackend": backend, "ipam": ipam}));
            let mut n = 0;
            loop {
                let pod = bed.pod("a");
                let result = bed.add(&conf, &pod).unwrap();
                bed.check(&conf, &pod, &result).unwrap();
                // The backend that the configuration names by now may be another.
                for named in [json!("nftables"), json!("iptables"), json!(null)] {
                    bed.check(&with(&conf, json!({"ipMasqBackend": named})), &pod, &result).unwrap();
                }
                let removals = removals(&bed, backend);
                let Some(removal) = removals.get(n) else { break };
                bed.sh(removal);
                let error = bed.check(&conf, &pod, &result).unwrap_err();
                assert!(error.msg.contains("masquerade"), "{kind}, after `{removal}`: {error}");
                bed.check(&with(&conf, json!({"ipMasq": false})), &pod, &result).unwrap();
                bed.del(&conf, &pod).unwrap();
                n += 1;
            }
            assert!(n >= least, "{backend}: {n} parts");
        }
    }
}
