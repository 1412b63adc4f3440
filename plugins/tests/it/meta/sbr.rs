//! `sbr`: rules, tables, and which way the answers go.

use manifold_cni::{CniResult, Plugin};
use manifold_plugins::meta::{SBR, Sbr};
use serde_json::{Value, json};

use super::{chained, ptp};
use crate::bed::{Bed, Pod, fail_at, failing, input, same, with, with_result};

/// A second network of the host, where the host is the way out.
fn second(bed: &Bed, further: Value) -> Value {
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "10.77.0.0/16"}],
        "ranges": [[{"subnet": "10.2.0.0/24"}], [{"subnet": "fd00:2::/64"}]]});
    with(
        &json!({"cniVersion": "1.1.0", "name": "second", "type": "bridge", "bridge": "br2", "isGateway": true,
        "ipam": ipam}),
        further,
    )
}

fn sbr(further: Value) -> Value {
    with(&chained("sbr", further), json!({"name": "second"}))
}

fn add(bed: &Bed, conf: &Value, made: &CniResult, pod: &Pod, ifname: &str) -> CniResult {
    bed.add_as(&with_result(conf, made), pod, ifname, "").unwrap()
}

fn rules(pod: &Pod) -> String {
    pod.sh("ip rule | grep from | grep -v 'from all' || true; ip -6 rule | grep from | grep -v 'from all' || true")
}

// Proves: PLG-SBR-4, PLG-SBR-7
#[test]
fn each_address_has_a_rule_and_a_table_with_the_routes_that_the_main_one_loses() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&ptp(&bed), &pod).unwrap();
    let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
    let conf = sbr(json!({}));
    let result = add(&bed, &conf, &made, &pod, "net1");
    assert_eq!(result, made);
    let rules = rules(&pod);
    assert!(
        rules.contains("from 10.2.0.2 lookup 100") && rules.contains("from fd00:2::2 lookup 101"),
        "{rules}"
    );
    let table = pod.sh("ip route show table 100");
    for route in [
        "default via 10.2.0.1 dev net1",
        "10.2.0.0/24 dev net1 proto kernel scope link src 10.2.0.2",
        "10.77.0.0/16 via 10.2.0.1 dev net1",
    ] {
        assert!(table.contains(route), "{route}: {table}");
    }
    assert_eq!(table.lines().count(), 3, "{table}");
    let table = pod.sh("ip -6 route show table 101");
    assert!(table.contains("default via fd00:2::1") && table.contains("fd00:2::/64 dev net1"), "{table}");
    assert_eq!(pod.sh("(ip route; ip -6 route) | grep -v fe80 | grep net1 || true"), "");
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
    pod.sh("ip rule del from 10.2.0.2");
    assert!(bed.check_as(&conf, &pod, "net1", &result).unwrap_err().msg.contains("`10.2.0.2/32`"));
}

/// How many answers left by each link, when somebody beyond the host asks at the second address.
fn answers(bed: &Bed, pod: &Pod) -> (bool, bool) {
    let client = bed.pod("client");
    let conf = with(
        &ptp(bed),
        json!({"name": "clients", "ipam": {"type": "host-local",
        "dataDir": bed.leases.path(), "subnet": "192.0.2.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}),
    );
    bed.add(&conf, &client).unwrap();
    pod.sh("nft add table ip seen; nft add chain ip seen out '{ type filter hook output priority 0; }'
        nft add rule ip seen out ip saddr 10.2.0.2 oifname eth0 counter comment first
        nft add rule ip seen out ip saddr 10.2.0.2 oifname net1 counter comment second");
    assert!(client.pings("10.2.0.2"), "{}", pod.state());
    let seen = pod.sh("nft list table ip seen; nft delete table ip seen");
    let counted = |name: &str| {
        let line = seen.lines().find(|line| line.contains(&format!("comment \"{name}\""))).unwrap();
        !line.contains("packets 0 ")
    };
    (counted("first"), counted("second"))
}

// Proves: PLG-SBR-4
#[test]
fn answers_leave_by_the_interface_that_the_question_came_in() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&ptp(&bed), &pod).unwrap();
    let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
    assert_eq!(answers(&bed, &pod), (true, false), "the default route is that of the first");
    add(&bed, &sbr(json!({})), &made, &pod, "net1");
    bed.del(&with(&ptp(&bed), json!({"name": "clients"})), &bed.pod("client")).unwrap();
    assert_eq!(answers(&bed, &pod), (false, true));
    assert!(pod.pings("10.1.0.1"), "the first interface works as before");
}

// Proves: PLG-SBR-5
#[test]
fn source_hints_keep_the_direct_routes_in_the_main_table() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&ptp(&bed), &pod).unwrap();
    let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
    pod.sh("ip route replace 10.2.0.0/24 dev net1 scope link");
    add(&bed, &sbr(json!({"addSourceHints": true})), &made, &pod, "net1");
    let main = pod.sh("ip route; ip -6 route | grep -v fe80");
    assert!(main.contains("10.2.0.0/24 dev net1") && main.contains("fd00:2::/64 dev net1"), "{main}");
    let kept: Vec<&str> = main.lines().filter(|line| line.starts_with("10.2.0.0/24")).collect();
    assert!(kept.len() == 1 && kept[0].contains("src 10.2.0.2"), "{main}");
    assert!(!main.contains("10.77.0.0/16"), "{main}");
    assert!(pod.sh("ip route show table 100").contains("10.77.0.0/16 via 10.2.0.1"));
}

// Proves: PLG-SBR-6
#[test]
fn with_a_table_of_somebody_elses_there_are_only_the_rules() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
    let before = pod.sh("ip route show table all; ip -6 route show table all");
    let conf = sbr(json!({"table": 300}));
    let result = add(&bed, &conf, &made, &pod, "net1");
    assert_eq!(pod.sh("ip route show table all; ip -6 route show table all"), before);
    let found = rules(&pod);
    assert!(
        found.contains("from 10.2.0.2 lookup 300") && found.contains("from fd00:2::2 lookup 300"),
        "{found}"
    );
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
    // DEL takes those that lead to the table, and no others.
    pod.sh("ip rule add from 10.2.0.2 table 400");
    bed.del_at(&conf, &pod.at("net1", "").detach()).unwrap();
    let found = rules(&pod);
    assert!(found.contains("lookup 400") && !found.contains("lookup 300"), "{found}");
}

// Proves: PLG-SBR-2
#[test]
fn there_must_be_a_result_with_an_address_of_the_interface() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.add_as(&sbr(json!({})), &pod, "net1", "").unwrap_err();
    assert!(error.code == 7 && error.msg.contains("chained plugin"), "{error}");
    let l2 = bed.add_as(&second(&bed, json!({"ipam": {}})), &pod, "net1", "").unwrap();
    let error = bed.add_as(&with_result(&sbr(json!({})), &l2), &pod, "net1", "").unwrap_err();
    assert!(error.msg.contains("no address of interface `net1`"), "{error}");
    let mut result = bed.add_as(&second(&bed, json!({"name": "third"})), &pod, "net2", "").unwrap();
    for ip in &mut result.ips {
        ip.interface = Some(1); // The host's end.
    }
    let error = bed.add_as(&with_result(&sbr(json!({})), &result), &pod, "net2", "").unwrap_err();
    assert!(error.msg.contains("no address of interface `net2`"), "{error}");
    result.ips[0].interface = None;
    add(&bed, &sbr(json!({})), &result, &pod, "net2");
    assert_eq!(rules(&pod).lines().count(), 1, "only the one that may be its own");
}

// Proves: PLG-SBR-3
#[test]
fn calls_for_one_pod_at_the_same_time_take_different_tables() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let conf = sbr(json!({}));
    let names: Vec<String> = (1..=8).map(|n| format!("net{n}")).collect();
    let made: Vec<CniResult> =
        names.iter().map(|name| bed.add_as(&second(&bed, json!({})), &pod, name, "").unwrap()).collect();
    std::thread::scope(|scope| {
        for (name, made) in names.iter().zip(&made) {
            let (bed, pod, conf) = (&bed, &pod, &conf);
            scope.spawn(move || add(bed, conf, made, pod, name));
        }
    });
    let rules = rules(&pod);
    let mut tables: Vec<&str> = rules.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    tables.sort_unstable();
    tables.dedup();
    assert_eq!(tables.len(), 16, "{rules}");
}

// Proves: PLG-SBR-8
#[test]
fn del_removes_the_rules_also_when_the_interface_or_the_namespace_is_gone() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    bed.add(&ptp(&bed), &pod).unwrap();
    let conf = sbr(json!({}));
    let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
    let at = pod.at("net1", "").detach();
    bed.del_at(&conf, &at).unwrap();
    add(&bed, &conf, &made, &pod, "net1");
    pod.sh("ip rule add from 10.1.0.2 table 500");
    for _ in 0..2 {
        bed.del_at(&conf, &at).unwrap();
        assert_eq!(rules(&pod).lines().count(), 1, "that of another interface stays");
    }
    let again = bed.pod("b");
    let made = bed.add_as(&second(&bed, json!({})), &again, "net1", "").unwrap();
    add(&bed, &conf, &made, &again, "net1");
    again.sh("ip link del net1");
    bed.del_at(&with_result(&conf, &made), &again.at("net1", "").detach()).unwrap();
    assert_eq!(rules(&again), "", "the result still tells the addresses");
    bed.del_at(&conf, &again.at("net1", "").detach()).unwrap();
    for path in [None, Some("/run/netns/never-there")] {
        bed.del_at(&conf, &again.without_netns(path)).unwrap();
    }
}

// Proves: PLG-COM-16
#[test]
fn a_failure_after_any_step_takes_everything_back() {
    let plugin = Sbr { after_step: failing };
    let conf = sbr(json!({"addSourceHints": true}));
    let mut failed = 0;
    for step in 0.. {
        let bed = Bed::new();
        let pod = bed.pod("a");
        let made = bed.add_as(&second(&bed, json!({})), &pod, "net1", "").unwrap();
        pod.sh("ip route replace 10.2.0.0/24 dev net1 scope link");
        let before = pod.state();
        fail_at(step);
        let outcome = bed.add_with(&plugin, &with_result(&conf, &made), &pod, "net1", "");
        fail_at(usize::MAX);
        if outcome.is_ok() {
            break;
        }
        same(&format!("after step {step}"), &before, &pod.state());
        failed += 1;
    }
    assert!(failed >= 8, "{failed} steps");
    let bed = Bed::new();
    let pod = bed.pod("a");
    let error = bed.host.run(|| SBR.check(&input(&conf), &pod.at("net1", ""))).unwrap().unwrap_err();
    assert!(error.msg.contains("chained plugin"), "{error}");
}

// Proves: PLG-COM-12
#[test]
fn check_of_the_interface_finds_its_routes_where_sbr_moved_them() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let (front, conf) = (second(&bed, json!({})), sbr(json!({})));
    let made = bed.add_as(&front, &pod, "net1", "").unwrap();
    let result = add(&bed, &conf, &made, &pod, "net1");
    for plugin in [&front, &conf] {
        bed.check_as(plugin, &pod, "net1", &result).unwrap();
    }
    pod.sh("ip route del 10.77.0.0/16 table 100");
    let error = bed.check_as(&front, &pod, "net1", &result).unwrap_err();
    assert!(error.msg.contains("no route to `10.77.0.0/16`"), "{error}");
}

// Proves: PLG-SBR-7
#[test]
fn check_misses_no_route_of_an_address_that_had_none() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let single =
        json!({"ipam": {"type": "static", "addresses": [{"address": "10.2.0.2/32"}]}, "isGateway": false});
    let made = bed.add_as(&second(&bed, single), &pod, "net1", "").unwrap();
    let conf = sbr(json!({}));
    let result = add(&bed, &conf, &made, &pod, "net1");
    assert!(rules(&pod).contains("from 10.2.0.2 lookup 100"));
    bed.check_as(&conf, &pod, "net1", &result).unwrap();
}
