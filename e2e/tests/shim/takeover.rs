//! Pods that Multus attached are taken down by what Multus left, whatever has become of it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_e2e::netns::TestNetns;
use manifold_e2e::runtime::Pod;
use manifold_e2e::trace;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::Node;

/// One delegate as Multus writes it: the whole configuration in `Bytes`.
fn delegate(name: &str, conf: &Value) -> Value {
    let bytes = STANDARD.encode(conf.to_string());
    json!({"Conf": {}, "ConfList": {}, "Name": name, "IsFilterV4Gateway": false, "IsFilterV6Gateway": false, "Bytes": bytes})
}

/// A node without definitions or API server, and a sandbox with two networks of Multus.
fn node_after_multus(prefix: &str) -> (Node<'static>, TestNetns, Pod) {
    let mut node = Node::new(prefix);
    node.cut_off();
    node.install_fakes(&["fake"]);
    let netns = TestNetns::new().unwrap();
    let pod = Pod::new(&netns, node.ns.name(), "old");
    fs::create_dir_all(node.folder("multus/results")).unwrap();
    (node, netns, pod)
}

/// What libcni keeps of one attachment.
fn cached(node: &Node<'_>, pod: &Pod, network: &str, ifname: &str, conf: &Value) {
    let result = json!({"cniVersion": "1.0.0", "interfaces": [{"name": ifname}], "ips": [], "dns": {}});
    let entry = json!({"kind": "cniCacheV1", "containerId": pod.container_id, "config": STANDARD.encode(conf.to_string()),
        "ifName": ifname, "networkName": network, "result": result});
    let file = format!("multus/results/{network}-{}-{ifname}", pod.container_id);
    fs::write(node.folder(&file), entry.to_string()).unwrap();
}

fn left_of_multus(node: &Node<'_>) -> usize {
    let count = |folder: &str| fs::read_dir(node.folder(folder)).unwrap().count();
    count("multus") - 1 + count("multus/results")
}

// Proves: MLT-CACHE-1, MLT-CACHE-3, MLT-DEL-1, MLT-DEL-2, F-POD-7, P-DEL-6
#[test]
fn a_state_file_of_multus_is_replayed_backwards_and_forgotten() {
    let (node, _netns, pod) = node_after_multus("state");
    let conf = |name: &str| {
        node.fake(&json!({}))
            .with("name", json!(name))
            .with("cniVersion", json!("1.0.0"))
            .with("private", json!([1.5]))
    };
    let mut second = delegate("shop/storage", &conf("same-name"));
    second = second.with("ifnameRequest", json!("data0")).with("macRequest", json!("02:00:00:00:00:05"));
    second = second.with("deviceID", json!("0000:03:02.1"));
    fs::create_dir_all(node.folder("devinfo/cni")).unwrap();
    let described = node.folder(&format!("devinfo/cni/shop-storage-{}_data0", pod.container_id));
    fs::write(&described, "{}").unwrap();
    let state =
        json!([delegate("cluster", &conf("cluster")), second, delegate("shop/third", &conf("same-name"))]);
    let file = node.folder("multus").join(&pod.container_id);
    fs::write(&file, state.to_string()).unwrap();
    for (network, ifname) in [("cluster", "eth0"), ("same-name", "data0"), ("same-name", "net2")] {
        cached(&node, &pod, network, ifname, &conf(network));
    }
    node.runtime().del(&pod).unwrap().must_succeed();
    assert_eq!(node.trace(), ["DEL net2", "DEL data0", "DEL eth0"]);
    for call in trace::read(&node.folder("trace")).unwrap() {
        assert_eq!(call.input("/private"), &json!([1.5]));
        assert_eq!(
            call.input("/prevResult/interfaces/0/name"),
            call.var("CNI_IFNAME"),
            "each has its own result"
        );
    }
    assert_eq!(left_of_multus(&node), 0);
    assert!(!described.exists(), "the description of the device goes with it");
    assert_eq!(node.ledger(), Vec::<String>::new());
}

// Proves: MLT-CACHE-5, P-DEL-2
#[test]
fn a_torn_state_file_is_replaced_by_libcnis_results_and_without_those_is_an_error() {
    let (node, _netns, pod) = node_after_multus("torn");
    let file = node.folder("multus").join(&pod.container_id);
    fs::write(&file, r#"[{"Conf": {"cniVersion""#).unwrap();
    let outcome = node.runtime().del(&pod).unwrap();
    assert!(outcome.error_text().contains("the state file of Multus"), "{outcome}");
    assert!(file.exists());
    let conf = node.fake(&json!({})).with("name", json!("cluster")).with("cniVersion", json!("1.0.0"));
    cached(&node, &pod, "cluster", "eth0", &conf);
    cached(&node, &pod, "storage", "net1", &conf.with("name", json!("storage")));
    node.runtime().del(&pod).unwrap().must_succeed();
    let mut calls = node.trace();
    calls.sort();
    assert_eq!(calls, ["DEL eth0", "DEL net1"]);
    assert_eq!(left_of_multus(&node), 0);
}

// Proves: MLT-DEL-3, MLT-DEL-6
#[test]
fn what_fails_keeps_the_state_file_for_the_next_del() {
    let (node, _netns, pod) = node_after_multus("kept");
    let once =
        json!({"DEL": {"behave": "fail", "msg": "not yet", "times": 1, "counter": node.folder("counter")}});
    let conf = node.fake(&once).with("name", json!("cluster"));
    let file = node.folder("multus").join(&pod.container_id);
    fs::write(&file, json!([delegate("cluster", &conf)]).to_string()).unwrap();
    let outcome = node.runtime().del(&pod).unwrap();
    assert!(outcome.error_text().contains("not yet"), "{outcome}");
    assert!(file.exists());
    node.runtime().del(&pod).unwrap().must_succeed();
    assert!(!file.exists());
}
