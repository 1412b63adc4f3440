//! What is in use passes, without a word: the kinds of the standard and of other tools' documentation, and the examples
//! that users are given, one for each plugin type.

use std::collections::BTreeSet;

use super::*;

/// The advice on `host-local` where nodes share a wire. The reference documents it that way, and on one node it is right.
const DOUBLED_ADDRESSES: &str = "host-local counts on each node for itself";

fn examples() -> Vec<(String, String)> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/networks"))
}

#[test]
fn each_passes_without_a_warning() {
    let all: Vec<_> = files("good").into_iter().chain(examples()).collect();
    assert!(all.len() >= 45, "{} files", all.len());
    for (name, text) in &all {
        for nad in definitions(text) {
            let report = examine(&nad.unwrap());
            let told = report.findings.iter().map(ToString::to_string);
            let told: Vec<String> = told.filter(|told| !told.contains(DOUBLED_ADDRESSES)).collect();
            assert_eq!(told, Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn there_is_an_example_for_every_plugin_type() {
    let types = [
        "bridge",
        "ptp",
        "macvlan",
        "ipvlan",
        "vlan",
        "host-device",
        "sriov",
        "bond",
        "dummy",
        "tap",
        "host-local",
        "cluster-local",
        "static",
        "dhcp",
        "tuning",
        "portmap",
        "bandwidth",
        "sbr",
        "vrf",
        "firewall",
        "calico-ipam",
        "whereabouts",
        "ovs",
    ];
    let mut seen = BTreeSet::new();
    for (_, text) in examples() {
        for nad in definitions(&text) {
            let config = nad.unwrap().config.unwrap_or_default();
            seen.extend(types.iter().filter(|t| config.contains(&format!("\"type\": \"{t}\""))).copied());
        }
    }
    let missing: Vec<_> = types.iter().filter(|t| !seen.contains(**t)).collect();
    assert!(missing.is_empty(), "no example for {missing:?}");
}
