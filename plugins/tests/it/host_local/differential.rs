//! The same calls to ours and to the reference, each with a folder of its own: same answers, same files.
//!
//! Where ours differs on purpose, and these sequences therefore do not go:
//! - a second ADD that asks for another address: the reference gives a second lease, ours refuses;
//! - an ADD that fails in a later set: the reference releases all leases of the attachment, ours only the new ones;
//! - DEL with ranges that have become invalid: the reference refuses and the lease leaks;
//! - a relative `dataDir`, IPv4 addresses in IPv6 form, unusable addresses: ours refuses;
//! - an ADD that asks for an address outside all ranges: the reference takes another first and frees it again, which
//!   moves its counter; ours takes none;
//! - a range that names the subnet's own or its broadcast address: the reference gives it out, ours does not;
//! - modes: ours are 0600 and 0700;
//! - the reference of Debian prints `"dns": {}`, which newer ones and ours leave out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{reference, run};
use crate::ipam_bed::{Answer, Bed, Call, add, call, del};

/// Makes each call on both sides and compares, after each, the answer and the files.
#[track_caller]
fn same(ipam: &Value, rest: &Value, calls: &[Call]) {
    let (mine, theirs) = (Bed::new(), Bed::new());
    for call in calls {
        let config = |bed: &Bed| {
            let mut config = bed.config(ipam.clone());
            for (key, value) in rest.as_object().unwrap() {
                config[key] = value.clone();
            }
            config
        };
        let (a, b) = (run(call, &config(&mine)), reference(call, &config(&theirs)));
        let told = |answer: &Answer| (answer.success, answer.success.then(|| answer.without_empty_dns()));
        assert_eq!(told(&a), told(&b), "{call:?} with {ipam} {rest}\nours: {a:?}\nreference: {b:?}");
        // The reference makes the lock before it knows whether it needs one.
        let files =
            |bed: &Bed| bed.files().into_iter().filter(|(name, _)| name != "lock").collect::<Vec<_>>();
        assert_eq!(files(&mine), files(&theirs), "{call:?} with {ipam} {rest}");
    }
}

fn adds_and_dels() -> Vec<Call> {
    let mut calls: Vec<Call> = ["a", "b", "c", "d", "e", "f"].into_iter().map(add).collect();
    calls.extend([
        add("b"),
        add("a").ifname("net1"),
        del("nobody"),
        del("b"),
        del("b"),
        del("d").ifname("net7"),
    ]);
    calls.extend([del("d"), add("g"), add("h"), add("i"), del("a"), del("a").ifname("net1"), add("a")]);
    calls
}

// Proves: PLG-HL-1, PLG-HL-2, PLG-HL-4, PLG-HL-5, PLG-HL-7, PLG-HL-8, PLG-HL-9, PLG-HL-10, CNI-DLG-6
#[test]
fn every_shape_of_ranges_gives_the_same_addresses_and_files() {
    let small = json!({"subnet": "10.1.0.0/29"});
    let second = json!({"subnet": "10.1.1.0/24", "rangeStart": "10.1.1.7", "rangeEnd": "10.1.1.9", "gateway": "10.1.1.8"});
    let six = json!({"subnet": "fd00:1::/126"});
    for ipam in [
        json!({"ranges": [[small]]}),
        json!({"ranges": [[small, second]]}),
        json!({"ranges": [[second, small]]}),
        json!({"ranges": [[{"subnet": "fd00::/64"}]]}),
        json!({"ranges": [[{"subnet": "10.9.0.0/16"}], [{"subnet": "fd00::/64", "rangeStart": "fd00::fffe"}]]}),
        json!({"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.200", "gateway": "10.9.0.254"}),
        json!({"subnet": "10.9.0.0/24", "ranges": [[second, small]]}),
        json!({"subnet": "10.9.0.0/24", "gateway": "192.168.0.1", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.9.0.7"}]}),
        json!({"ranges": [[{"subnet": "10.9.0.0/30"}]]}),
        json!({"ranges": [[six]]}),
        json!({"ranges": [[{"subnet": "10.9.0.0/29", "rangeStart": "10.9.0.2", "rangeEnd": "10.9.0.6"}]]}),
        json!({"ranges": [[{"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.5", "rangeEnd": "10.9.0.5", "gateway": "10.9.0.5"}]]}),
        json!({"rangeStart": "10.9.0.5", "ranges": [[small]]}),
    ] {
        same(&ipam, &json!({}), &adds_and_dels());
    }
    let brought =
        json!({"runtimeConfig": {"ipRanges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}});
    same(&json!({}), &brought, &adds_and_dels());
    same(&json!({"subnet": "10.9.0.0/24", "ranges": [[second]]}), &brought, &adds_and_dels()[..3]);
}

// Proves: PLG-HL-6, PLG-COM-25
#[test]
fn every_source_of_requested_addresses_does_the_same() {
    let ipam = json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]});
    let calls = |args: &str| {
        [add("a").args(args), add("b"), add("c").args("IP=10.1.0.2"), add("d").args("IP=10.1.0.3/24")]
    };
    for args in [
        "IP=10.1.0.50",
        "IP=10.1.0.50/24",
        "IP=fd00::50",
        "IgnoreUnknown=1;IP=10.1.0.50;K8S_POD_NAME=p",
        "IP=10.1.0.1",
        "IP=nonsense",
        "FOO=bar",
        "FOO=bar;IgnoreUnknown=0",
        "FOO=bar;IgnoreUnknown=true",
    ] {
        same(&ipam, &json!({}), &calls(args));
    }
    for ips in [
        json!(["10.1.0.50"]),
        json!(["10.1.0.50/24", "fd00::50/64"]),
        json!(["fd00::50", "10.1.0.50"]),
        json!(["10.1.0.1"]),
        json!(["x"]),
        json!([]),
    ] {
        same(&ipam, &json!({"args": {"cni": {"ips": ips}}}), &[add("a"), add("b")]);
        same(&ipam, &json!({"runtimeConfig": {"ips": ips}}), &[add("a"), add("b")]);
    }
    let both = json!({"args": {"cni": {"ips": ["fd00::50"]}}, "runtimeConfig": {"ips": ["10.1.0.50"]}});
    // With two wishes for one set the reference picks one at random, so no third call that would make them.
    same(&ipam, &both, &[add("a"), add("b")]);
}

// Proves: PLG-HL-6
#[test]
fn a_wish_that_no_set_can_meet_is_refused_alike_and_leaves_no_lease() {
    let ipam = json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]});
    for ips in
        [json!(["10.2.0.1"]), json!(["10.1.0.50", "10.1.0.51"]), json!(["10.1.0.0"]), json!(["10.1.0.255"])]
    {
        let (mine, theirs) = (Bed::new(), Bed::new());
        let config = |bed: &Bed| {
            let mut config = bed.config(ipam.clone());
            config["runtimeConfig"] = json!({"ips": ips});
            config
        };
        let (a, b) = (run(&add("a"), &config(&mine)), reference(&add("a"), &config(&theirs)));
        assert!(!a.success && !b.success, "{ips}\nours: {a:?}\nreference: {b:?}");
        assert!(mine.leases().is_empty() && theirs.leases().is_empty());
    }
}

// Proves: PLG-HL-1, PLG-HL-3
#[test]
fn what_the_reference_refuses_is_refused_and_leaves_no_file() {
    let ok = json!({"subnet": "10.1.0.0/24"});
    for ipam in [
        json!({}),
        json!({"ranges": []}),
        json!({"ranges": [[]]}),
        json!({"ranges": [[ok], []]}),
        json!({"ranges": [[ok, {"subnet": "fd00::/64"}]]}),
        json!({"ranges": [[ok, ok]]}),
        json!({"ranges": [[ok], [{"subnet": "10.0.0.0/8"}]]}),
        json!({"ranges": [[{"subnet": "10.1.0.1/24"}]]}),
        json!({"ranges": [[{"subnet": "10.1.0.0/31"}]]}),
        json!({"ranges": [[{"subnet": "fd00::/127"}]]}),
        json!({"ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.1.0"}]]}),
        json!({"ranges": [[{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.1.0"}]]}),
        json!({"ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}]]}),
        json!({"ranges": [[{"subnet": "usePodCidr"}]]}),
        json!({"subnet": "10.1.0.0/24", "resolvConf": "/nonexistent"}),
        json!({"subnet": "10.1.0.0/24", "routes": [{"dst": "x"}]}),
    ] {
        let (mine, theirs) = (Bed::new(), Bed::new());
        let a = run(&add("a"), &mine.config(ipam.clone()));
        let b = reference(&add("a"), &theirs.config(ipam.clone()));
        assert!(!a.success && !b.success, "{ipam}\nours: {a:?}\nreference: {b:?}");
        assert_eq!(a.stdout["code"], json!(7), "{ipam}: {}", a.stdout);
        assert!(mine.leases().is_empty() && theirs.leases().is_empty());
    }
}

// Proves: PLG-COM-1, PLG-COM-2, PLG-HL-3
#[test]
fn every_version_gets_the_same_answer() {
    let dual = json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::9"}]});
    let two = json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]});
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "", "0.9.9", "1.0"] {
        let rest = json!({"cniVersion": version});
        same(&dual, &rest, &[add("a"), add("b"), del("a")]);
        same(&two, &rest, &[add("a")]);
    }
}

// Proves: PLG-HL-5
#[test]
fn a_resolv_conf_is_read_alike() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "; c\n#nameserver 9.9.9.9\nnameserver 192.0.2.0 extra\n nameserver\t192.0.2.1\nnameserver\n\
        domain a\ndomain b\nsearch x y\nsearch z\noptions o1 o2:3\r\nsortlist 1\n\n  # tail\nnameserver fd00::1";
    std::fs::write(file.path(), text).unwrap();
    same(&json!({"subnet": "10.1.0.0/24", "resolvConf": file.path()}), &json!({}), &[add("a"), del("a")]);
}

// Proves: PLG-HL-11
#[test]
fn check_agrees() {
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]});
    let rest = json!({"prevResult": result});
    let ipam = json!({"subnet": "10.1.0.0/24"});
    let check = |id: &str| call("CHECK", id);
    same(
        &ipam,
        &rest,
        &[check("a"), add("a"), check("a"), check("a").ifname("net1"), check("b"), del("a"), check("a")],
    );
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Del(u8),
    Want(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..12).prop_map(Step::Add),
        2 => (0u8..12).prop_map(Step::Del),
        1 => (12u8..40, 0usize..6).prop_map(|(id, n)| Step::Want(id, [1, 2, 17, 18, 19, 22][n])),
    ];
    proptest::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    // Proves: PLG-HL-7, PLG-HL-8, PLG-HL-9, PLG-HL-10, CNI-DLG-6
    #[test]
    fn any_history_leaves_the_same_answers_and_files(steps in steps(), bits in 28u8..=30) {
        let ipam = json!({"ranges": [[{"subnet": format!("10.1.0.0/{bits}")}, {"subnet": "10.1.0.16/29"}]]});
        // An id that asks for an address asks once: see the differences above.
        let mut wanted = std::collections::HashSet::new();
        let calls: Vec<Call> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Add(id) => Some(add(&format!("c{id}"))),
                Step::Del(id) => Some(del(&format!("c{id}"))),
                Step::Want(id, ip) => wanted.insert(*id).then(|| add(&format!("c{id}")).args(&format!("IP=10.1.0.{ip}"))),
            })
            .collect();
        // /28 and the second range touch: 10.1.0.16 begins right after 10.1.0.15.
        same(&ipam, &json!({}), &calls);
    }
}
