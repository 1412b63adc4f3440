//! Default routes: whoever is asked gets them, the others give them up, family by family; CHECK and the status know.

use serde_json::{Value, json};

use crate::kernel;
use crate::networks::With;
use crate::node::Node;

/// Two dual-stack networks beside the default one, each with gateways and a default route of its own.
fn dual_stack(prefix: &str) -> Node<'static> {
    let node = Node::new(prefix);
    for (name, bridge, v4, v6) in [
        ("storage", "mf-storage", "10.50.0.0/24", "fd00:50::/64"),
        ("backup", "mf-backup", "10.60.0.0/24", "fd00:60::/64"),
    ] {
        let conf = node.bridge(bridge, &[v4, v6]);
        node.define(name, &conf.clone().with("isDefaultGateway", json!(true)));
        node.define(&format!("{name}-plain"), &conf.with("isGateway", json!(true)));
    }
    node
}

/// The pod's default routes, IPv4 and IPv6, and what its status says of them.
#[track_caller]
fn routes(node: &Node<'_>, pod: &str, networks: Value) -> ([Vec<String>; 2], Vec<Value>) {
    let sandbox = node.sandbox(pod, &networks.to_string());
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let found = [4, 6].map(|family| kernel::default_routes(&sandbox.netns, family));
    // What is true now is what CHECK expects.
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    let told = node.status(pod).unwrap();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    (found, told)
}

// Proves: NPWG-4.1.2.1.9-3, NPWG-4.1.2.1.9-4, NPWG-4.1.2.1.9-7, NPWG-6-3, NPWG-5.3.6.4-1, P-COR-1
// Proves: MLT-GW-3, MLT-GW-5, MLT-GW-7, MLT-DEP-9, NPWG-X-3
#[test]
fn the_route_moves_for_the_family_that_was_asked_for() {
    let node = dual_stack("moves");
    let (found, told) = routes(
        &node,
        "four",
        json!([{"name": "backup-plain"}, {"name": "storage-plain", "default-route": ["10.50.0.1"]}]),
    );
    assert_eq!(found, [vec!["10.50.0.1 over net2".to_string()], vec!["fd00:10:244::1 over eth0".into()]]);
    assert_eq!(told[0]["gateway"], json!(["fd00:10:244::1"]));
    assert_eq!(
        (&told[2]["gateway"], &told[2]["default-route"]),
        (&json!(["10.50.0.1"]), &json!(["10.50.0.1"]))
    );
    assert_eq!(told[1].get("default-route"), None);

    let (found, _) =
        routes(&node, "six", json!([{"name": "storage-plain", "default-route": ["fd00:50::1"]}]));
    assert_eq!(found, [vec!["10.244.0.1 over eth0".to_string()], vec!["fd00:50::1 over net1".into()]]);

    let both = json!([{"name": "storage-plain", "default-route": ["10.50.0.1", "fd00:50::1"]}]);
    let (found, _) = routes(&node, "both", both);
    assert_eq!(found, [vec!["10.50.0.1 over net1".to_string()], vec!["fd00:50::1 over net1".into()]]);
}

// Proves: NPWG-4.1.2.1.9-1, MLT-DEP-6, MLT-GW-4, CNI-CNV-7
#[test]
fn an_empty_list_keeps_the_networks_own_routes_and_takes_the_others() {
    let node = dual_stack("empty");
    let (found, _) =
        routes(&node, "own", json!([{"name": "backup"}, {"name": "storage", "default-route": []}]));
    assert_eq!(found, [vec!["10.50.0.1 over net2".to_string()], vec!["fd00:50::1 over net2".into()]]);
}

// Proves: NPWG-4.1.2.1.9-2, MLT-DEP-5, MLT-GW-2
#[test]
fn two_networks_or_two_gateways_of_a_family_are_refused() {
    let node = dual_stack("refused");
    for (name, networks, part) in [
        (
            "two",
            json!([{"name": "storage", "default-route": []}, {"name": "backup", "default-route": []}]),
            "both carry `default-route`",
        ),
        (
            "ecmp",
            json!([{"name": "storage", "default-route": ["10.50.0.1", "10.50.0.2"]}]),
            "has 2 IPv4 gateways",
        ),
    ] {
        let sandbox = node.sandbox(name, &networks.to_string());
        let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
        assert!(text.contains(part), "{text}");
        assert_eq!(sandbox.links(), Vec::<String>::new());
    }
}

// Proves: CNI-RES-5, CNI-CNV-3
#[test]
fn every_field_of_a_route_is_what_the_kernel_has() {
    let node = Node::new("fields");
    let routes = json!([
        {"dst": "10.9.0.0/16", "gw": "10.60.0.1", "mtu": 1300, "advmss": 1200, "priority": 77, "table": 100},
        {"dst": "10.8.0.0/16", "scope": 253},
    ]);
    let ipam = json!({"type": "static", "addresses": [{"address": "10.60.0.7/24"}], "routes": routes});
    let labels = json!({"cni": {"labels": [{"key": "app", "value": "cart"}]}});
    node.define("wire", &node.macvlan(&[]).with("ipam", ipam).with("args", labels));
    let sandbox = node.sandbox("cart", "wire");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let found = kernel::ip(&sandbox.netns, "-d route show table 100");
    assert_eq!(found.len(), 1, "{found:?}");
    let route = &found[0];
    assert_eq!(
        (&route["dst"], &route["gateway"], &route["metric"]),
        (&json!("10.9.0.0/16"), &json!("10.60.0.1"), &json!(77))
    );
    assert_eq!(
        (&route["metrics"][0]["mtu"], &route["metrics"][0]["advmss"]),
        (&json!(1300), &json!(1200)),
        "{route}"
    );
    let direct = kernel::ip(&sandbox.netns, "route show 10.8.0.0/16");
    assert_eq!((&direct[0]["scope"], &direct[0]["dev"]), (&json!("link"), &json!("net1")), "{direct:?}");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: COMPAT-11
#[test]
fn a_further_network_with_a_default_route_is_the_pods_way_out() {
    let node = Node::new("quickstart");
    let ipam = node.ipam(&["192.168.1.0/24"]).with("routes", json!([{"dst": "0.0.0.0/0"}]));
    node.define("macvlan-conf", &node.macvlan(&[]).with("ipam", ipam));
    let sandbox = node.sandbox("samplepod", "macvlan-conf");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let both = kernel::default_routes(&sandbox.netns, 4);
    assert_eq!(both, ["10.244.0.1 over eth0", "192.168.1.1 over net1"]);
    let way = kernel::ip(&sandbox.netns, "route get 8.8.8.8");
    assert_eq!((&way[0]["gateway"], &way[0]["dev"]), (&json!("192.168.1.1"), &json!("net1")), "{way:?}");
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
}
