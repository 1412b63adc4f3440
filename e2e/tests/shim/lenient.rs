//! What pods and definitions of real clusters have in them and no plugin reads: attached as if it were not there, with a line in
//! the log.

use manifold_e2e::pod_resources::{PodResources, PodResourcesServer};
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

/// A node whose log is its standard error, with the lines of level `error` and worse.
fn node(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.entry.insert("logLevel".into(), json!("error"));
    node
}

/// Attached, with `net1` in the pod and all of `words` in one warning of the log; gone after DEL.
#[track_caller]
fn attached(node: &Node<'_>, pod: &str, networks: &str, words: &[&str]) -> Vec<Value> {
    let sandbox = node.sandbox(pod, networks);
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    let told = outcome.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{words:?} are missing in: {}", outcome.stderr);
    assert_eq!(sandbox.links(), ["eth0", "net1"]);
    let status = node.status(pod).unwrap();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert!(node.ledger().is_empty());
    status
}

// Proves: COMPAT-1
#[test]
fn a_pod_with_a_gateway_in_its_selection_is_attached() {
    let node = node("lenient-key");
    let config = json!({"cniVersion": "0.3.1", "plugins": [
        {"type": "macvlan", "capabilities": {"ips": true}, "master": "eth1", "mode": "bridge",
         "ipam": {"type": "static", "routes": [{"dst": "10.60.0.0/16", "gw": "10.1.1.1"}]}},
        {"type": "tuning", "capabilities": {"mac": true}},
    ]});
    node.define("fiveg", &config);
    let networks = json!([{
        "name": "fiveg", "ips": ["10.1.1.101/24"], "mac": "c2:b0:57:49:47:f1", "gateway": ["10.1.1.1"],
    }]);
    let status = attached(&node, "amf", &networks.to_string(), &["WARN", "key `gateway`", "has no effect"]);
    assert_eq!((&status[1]["ips"], &status[1]["mac"]), (&json!(["10.1.1.101"]), &json!("c2:b0:57:49:47:f1")));
}

// Proves: F-INP-7
#[test]
fn a_thousand_odd_keys_are_sixteen_lines_and_the_number_of_the_others() {
    let node = node("lenient-flood");
    node.define("plain", &node.bridge("mf-plain", &["10.52.0.0/24"]));
    let keys: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("odd-{n}"), json!(n))).collect();
    let networks = json!([Value::from(keys).with("name", json!("plain"))]).to_string();
    let sandbox = node.sandbox("cart", &networks);
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    let told: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(told.iter().filter(|line| line.contains("key `odd-")).count(), 16, "{told:#?}");
    assert!(told.len() == 17 && told[16].contains("984 more"), "{told:#?}");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: F-INP-7
#[test]
fn what_a_plugin_writes_to_standard_error_forges_no_line_and_moves_no_cursor() {
    let node = node("lenient-stderr");
    let said = r#"printf 'one\ntwo \033[2J\r2026-01-01T00:00:00Z  INFO forged\n' >&2; echo '{"cniVersion":"1.1.0"}'"#;
    crate::wrapper::write(
        &node.folder("bin").join("talks"),
        &format!("#!/bin/sh\ncat > /dev/null; {said}\n"),
    );
    node.define("talks", &json!({"cniVersion": "1.1.0", "type": "talks"}));
    let sandbox = node.sandbox("cart", "talks");
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    outcome.must_succeed();
    assert!(
        outcome.stderr.contains("one\ntwo \\u{1b}[2J\\r2026-01-01T00:00:00Z  INFO forged\n"),
        "{outcome}"
    );
    assert!(!outcome.stderr.contains(['\u{1b}', '\r']), "{outcome}");
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: COMPAT-2
#[test]
fn a_pod_of_a_template_without_values_is_attached() {
    let node = node("lenient-empty");
    // It declares no capability, so each of these would be refused if it asked for something.
    node.define("plain", &node.bridge("mf-plain", &["10.52.0.0/24"]));
    for (n, element) in [
        json!({"mac": ""}),
        json!({"ips": []}),
        json!({"interface": "", "interfaceRequest": ""}),
        json!({"infiniband-guid": "", "deviceID": "", "ipam-claim-reference": ""}),
        json!({"portMappings": [], "bandwidth": {}, "cni-args": null, "default-route": null}),
        json!({"bandwidth": {"ingressRate": 0, "ingressBurst": 0}}),
    ]
    .into_iter()
    .enumerate()
    {
        let networks = json!([element.with("name", json!("plain"))]).to_string();
        attached(&node, &format!("cart-{n}"), &networks, &["WARN", "it is empty, so it counts as absent"]);
    }
    attached(&node, "short", "plain@", &["WARN", "key `interface`"]);
}

// Proves: COMPAT-4
#[test]
fn a_network_with_a_marker_as_its_resource_is_attached_without_a_device() {
    let mut node = node("lenient-marker");
    let socket = node.folder("kubelet.sock");
    node.entry.insert("podResourcesSocket".into(), json!(socket));
    let marker = "bridge.network.kubevirt.io/br1";
    let define = |name: &str, config: &Value| {
        let object = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "annotations": {"k8s.v1.cni.cncf.io/resourceName": marker}},
            "spec": {"config": config.to_string()},
        });
        let path =
            format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions", node.ns.name());
        node.ns.api().client().send("POST", &path, &object).unwrap();
    };
    define(
        "br1",
        &json!({"cniVersion": "0.3.1", "name": "br1", "type": "bridge", "bridge": "mf-br1", "ipam": {}}),
    );
    define("moved", &json!({"cniVersion": "0.3.1", "type": "host-device", "ipam": {}}));
    let pods = ["vm", "needy", "late"].map(|pod| PodResources::new(node.ns.name(), pod));
    let kubelet = PodResourcesServer::with_pods(&socket, pods.to_vec()).unwrap();
    let status = attached(&node, "vm", "br1", &["WARN", marker, "attached without a device"]);
    assert!(status[1].get("device-info").is_none(), "{status:?}");
    assert_eq!(kubelet.asked().len(), 1);
    // One that moves a device has nothing to move.
    let sandbox = node.sandbox("needy", "moved");
    let error = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(error.contains("was given no device of resource"), "{error}");
    let late = node.sandbox("late", "br1");
    node.entry.insert("strict".into(), json!(true));
    node.runtime().add(&late.pod).unwrap().must_fail_with(7);
}
