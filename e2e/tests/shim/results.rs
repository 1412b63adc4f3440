//! The status, as it is at the API server: from results of every version, and with nothing in them.

use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

/// A node with a network for each result.
fn statuses(prefix: &str, networks: &[(&str, Value)]) -> Vec<Value> {
    let node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    for (name, conf) in networks {
        let fake = conf["fake"].clone().with("trace", json!(node.folder("trace")));
        node.define(name, &conf.clone().with("type", json!("fake")).with("fake", fake));
    }
    let names: Vec<&str> = networks.iter().map(|(name, _)| *name).collect();
    let sandbox = node.sandbox("cart", &names.join(","));
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    let mut status = node.status("cart").unwrap();
    for entry in &mut status {
        let bare = entry["name"].as_str().unwrap().split_once('/').unwrap();
        assert_eq!(bare.0, node.ns.name(), "the namespace is told");
        entry["name"] = json!(bare.1);
    }
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.status("cart").unwrap().len(), networks.len() + 1, "DEL leaves the status");
    status
}

// Proves: NPWG-5.1.1-3, NPWG-5.3.2-1, NPWG-5.3.3-2, NPWG-5.3.3-5, NPWG-5.3.4-2, NPWG-5.3.5-1, MLT-STS-5, MLT-STS-7
#[test]
fn every_version_of_a_result_makes_an_entry() {
    let versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let networks: Vec<(&str, Value)> = names
        .iter()
        .zip(versions)
        .map(|(name, version)| (*name, json!({"cniVersion": version, "fake": {}})))
        .collect();
    let status = statuses("of-each", &networks);
    for (n, (name, version)) in names.iter().zip(versions).enumerate() {
        let mut expected = json!({"name": name, "interface": format!("net{}", n + 1), "ips": ["10.99.0.2"], "default": false});
        if version > "0.2.0" {
            expected = expected.with("mac", json!("02:00:00:00:00:07"));
        }
        assert_eq!(status[n + 1], expected, "{version}");
    }
    let defaults = status.iter().filter(|entry| entry["default"] == true).count();
    assert_eq!((defaults, &status[0]["default"]), (1, &json!(true)));
}

// Proves: NPWG-5.1.1-1, NPWG-5.1.1-2, NPWG-5.3.3-3, NPWG-5.3.3-4, NPWG-5.3.6-1, MLT-DEP-7, MLT-DEP-8, MLT-STS-4
#[test]
fn host_interfaces_are_left_out_and_an_empty_result_has_its_entry_too() {
    let of = |result: Value| json!({"cniVersion": "1.0.0", "fake": {"ADD": {"result": result.with("cniVersion", json!("1.0.0"))}}});
    let pod = json!({"name": "x0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/pod"});
    let second = json!({"name": "x1", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/pod"});
    let host = json!({"name": "br", "mac": "02:00:00:00:00:03"});
    let ip = |address: &str, interface: i64| json!({"address": address, "interface": interface});
    let status = statuses(
        "shapes",
        &[
            ("empty", of(json!({}))),
            (
                "several",
                of(json!({"interfaces": [host, pod, second],
            "ips": [ip("10.0.0.1/24", 0), ip("10.0.0.2/24", 1), ip("10.0.0.3/24", 2)],
            "dns": {"nameservers": ["10.0.0.53"], "search": ["shop.local"]}})),
            ),
            ("unowned", of(json!({"ips": [{"address": "10.0.0.9/24"}]}))),
            ("host-only", of(json!({"interfaces": [host], "ips": [ip("10.0.0.1/24", 0)]}))),
        ],
    );
    assert_eq!(status[1], json!({"name": "empty", "default": false}));
    let dns = json!({"nameservers": ["10.0.0.53"], "search": ["shop.local"]});
    let described = json!({"name": "several", "interface": "x0", "ips": ["10.0.0.2"], "mac": "02:00:00:00:00:01",
        "default": false, "dns": dns});
    assert_eq!(status[2], described);
    assert_eq!(status[3], json!({"name": "unowned", "ips": ["10.0.0.9"], "default": false}));
    assert_eq!(status[4], json!({"name": "host-only", "default": false}));
}
