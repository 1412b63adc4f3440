//! What ADD answers, and what it never gives.

use std::collections::BTreeSet;

use manifold_address_store::clock;
use manifold_address_store::mirror::Mirror;
use manifold_addresses::holdings::Part;
use manifold_crds::ipam::PoolSpec;
use manifold_plugins::ipam::cluster_local::Surroundings;
use manifold_plugins::ipam::{ClusterLocal, HostLocal};
use serde_json::json;

use super::{Node, config, never, soon};
use crate::ipam_bed::{Bed, add, del, ours};

// Proves: IPAM-6
#[test]
fn the_result_is_host_locals_in_every_version() {
    let one = |subnet: &str, ip: &str| json!([{"subnet": subnet, "rangeStart": ip, "rangeEnd": ip}]);
    let with_router = json!([{"subnet": "10.1.0.0/16", "rangeStart": "10.1.7.9", "rangeEnd": "10.1.7.9", "gateway": "10.1.255.254"}]);
    let resolv_conf = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(resolv_conf.path(), "nameserver 10.9.9.9\nsearch shop.example\n").unwrap();
    let sections = [
        json!({"ranges": [one("10.1.0.0/16", "10.1.7.9")]}),
        json!({"ranges": [one("10.1.0.0/16", "10.1.7.9"), one("fd00::/64", "fd00::7")], "routes": [{"dst": "0.0.0.0/0"}]}),
        json!({"ranges": [with_router], "routes": [{"dst": "10.0.0.0/8", "gw": "10.1.0.9"}]}),
        json!({"subnet": "10.1.0.0/16", "rangeStart": "10.1.7.9", "rangeEnd": "10.1.7.9", "resolvConf": resolv_conf.path()}),
    ];
    for section in sections {
        for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let (bed, node) = (Bed::new(), Node::holding(&["10.1.7.0"]));
            node.take("fd00:0000:0000:0000:0000:0000:0000:0000", Part::Whole);
            let mut theirs = bed.config(section.clone());
            theirs["cniVersion"] = json!(version);
            let mut own = config(section.clone());
            own["cniVersion"] = json!(version);
            let (expected, answer) = (ours(&HostLocal, &add("a"), &theirs), node.run(&add("a"), &own));
            assert!(expected.success && answer.success, "{version}: {} {}", expected.stdout, answer.stdout);
            assert_eq!(answer.stdout, expected.stdout, "{version} {section}");
        }
    }
}

// Proves: IPAM-7
#[test]
fn sixteen_interfaces_of_one_network_have_an_address_each_and_del_of_one_keeps_the_others() {
    let node = Node::holding(&["10.1.7.0"]);
    let config = config(json!({"ranges": [[{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1"}]]}));
    let of = |n: usize| add("pod").ifname(&format!("net{n}"));
    let given: BTreeSet<String> = (0..16).map(|n| node.run(&of(n), &config).ips().remove(0)).collect();
    assert_eq!(given.len(), 16);
    node.run(&del("pod").ifname("net3"), &config).ok();
    assert_eq!(node.leases().len(), 15);
    // Once more, as the shim's lease is found: the same address.
    let again = node.run(&of(4), &config).ips();
    assert_eq!(node.run(&of(4), &config).ips(), again);
    assert_eq!(node.leases().len(), 15);
}

// Proves: IPAM-5
#[test]
fn network_broadcast_gateway_and_exclusions_are_never_given() {
    let node = Node::holding(&["10.1.7.0"]);
    let of = |exclude: &[&str]| {
        config(json!({"ranges": [[{"subnet": "10.1.7.0/29", "gateway": "10.1.7.3"}]], "exclude": exclude}))
    };
    let config = of(&["10.1.7.5"]);
    let given: Vec<String> =
        (0..4).map(|n| node.run(&add(&format!("p{n}")), &config).ips().remove(0)).collect();
    assert_eq!(given, ["10.1.7.1/29", "10.1.7.2/29", "10.1.7.4/29", "10.1.7.6/29"]);
    node.run(&add("more"), &config).failed(7, "10.1.7.0/29");
    for (ip, why) in [
        ("10.1.7.0", "10.1.7.0"),
        ("10.1.7.7", "10.1.7.7"),
        ("10.1.7.3", "gateway"),
        ("10.1.7.5", "excluded"),
    ] {
        node.run(&add("named").args(&format!("IP={ip}")), &config).failed(7, why);
    }
    node.run(&add("named").args("IP=10.1.7.4"), &config).failed(11, "container `p2`");
    node.run(&del("p2"), &config).ok();
    assert_eq!(node.run(&add("named").args("IP=10.1.7.4"), &config).ips(), ["10.1.7.4/29"]);
}

// Shows part of: IPAM-2
#[test]
fn pools_by_name_give_one_address_each_out_of_their_mirrors() {
    let node = Node::holding(&["10.1.7.0", "fd00:0000:0000:0000:0000:0000:0000:0000"]);
    let config = config(json!({"pools": ["storage", "storage-v6"], "routes": [{"dst": "192.0.2.0/24"}]}));
    node.run(&add("a"), &config).failed(7, "`storage`");
    let put = |name: &str, spec: PoolSpec| {
        let mirror = Mirror { spec, read: clock::now().unwrap() };
        node.store().put_mirror(&name.parse().unwrap(), &mirror, soon()).unwrap();
    };
    let gateway = Some("10.1.0.1".to_owned());
    put("storage", PoolSpec { gateway, ..PoolSpec::of_subnet("10.1.0.0/16") });
    node.run(&add("a"), &config).failed(7, "`storage-v6`");
    put("storage-v6", PoolSpec::of_subnet("fd00::/64"));
    let answer = node.run(&add("a"), &config);
    let ips = answer.ips();
    assert!(ips[0].starts_with("10.1.7.") && ips[0].ends_with("/16") && ips[1].ends_with("/64"), "{ips:?}");
    assert_eq!(answer.stdout["ips"][0]["gateway"], json!("10.1.0.1"));
    assert_eq!(answer.stdout["ips"][1].get("gateway"), None);
}

// Shows part of: IPAM-38
#[test]
fn nobody_is_asked_for_what_is_held_or_leased_already() {
    let node = Node::holding(&["10.1.7.0"]);
    let state_dir = node.state.path().to_owned();
    let config = config(json!({"subnet": "10.1.0.0/16"}));
    node.run(&add("a"), &config).ok();
    // The other verbs have nobody to ask at all.
    let deaf = ClusterLocal { surroundings: Some(Surroundings { state_dir, claims: Some(never) }) };
    for call in [del("a"), crate::ipam_bed::call("STATUS", ""), crate::ipam_bed::call("GC", "")] {
        let mut config = config.clone();
        config["cni.dev/valid-attachments"] = json!([]);
        ours(&deaf, &call, &config).ok();
    }
    assert_eq!(node.leases(), Vec::<String>::new());
}

// Shows part of: IPAM-11
#[test]
fn without_a_cluster_add_is_refused_and_names_host_local() {
    let node = Node::bare();
    let config = config(json!({"subnet": "10.1.0.0/16"}));
    node.run(&add("a"), &config).failed(7, "`host-local`");
    node.run(&del("a"), &config).ok();
    let leaderless = Node::holding(&[]);
    leaderless.run(&add("a"), &config).failed(7, "`host-local`");
}
