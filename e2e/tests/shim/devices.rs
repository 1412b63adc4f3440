//! Devices of the pod: asked of the kubelet only where a network names a resource, each given to one network, described
//! in the status, and given back on DEL without asking anybody.
//!
//! The kubelet here is a server of ours that speaks its API; against a real one see the tests of the cluster.

use std::fs;
use std::path::PathBuf;

use manifold_e2e::grpc::Reply;
use manifold_e2e::pod_resources::{PodResources, PodResourcesServer, busy};
use manifold_e2e::runtime::CallOutcome;
use manifold_e2e::trace;
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{DEFAULT_NETWORK, NETWORKS, Node};
use crate::sandbox::Sandbox;

const NIC: &str = "v.example/nic";

/// A node whose networks `a` and `b` are chains of two fakes and take devices of [`NIC`].
fn node(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.install_fakes(&["fake", "other"]);
    let socket = socket(&node);
    node.entry.insert("podResourcesSocket".into(), json!(socket));
    for name in ["a", "b"] {
        define(&node, name, NIC, &chain(&node, &json!({})));
    }
    node
}

fn socket(node: &Node<'_>) -> PathBuf {
    node.folder("kubelet.sock")
}

/// The second plugin is told the device in `runtimeConfig` too.
fn chain(node: &Node<'_>, behaviour: &Value) -> Value {
    let fake = behaviour.clone().with("trace", json!(node.folder("trace")));
    let told = json!({"deviceID": true, "CNIDeviceInfoFile": true});
    json!({"cniVersion": "1.0.0", "plugins": [
        {"type": "fake", "fake": fake}, {"type": "other", "fake": fake, "capabilities": told},
    ]})
}

fn define(node: &Node<'_>, name: &str, resource: &str, config: &Value) {
    let object = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "annotations": {"k8s.v1.cni.cncf.io/resourceName": resource}},
        "spec": {"config": config.to_string()},
    });
    let namespace = node.ns.name();
    let path = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions");
    node.ns.api().client().send("POST", &path, &object).unwrap();
}

fn kubelet(node: &Node<'_>, pod: &str, ids: &[&str]) -> PodResourcesServer {
    let pod = PodResources::new(node.ns.name(), pod).with_devices(NIC, ids);
    PodResourcesServer::with_pods(&socket(node), vec![pod]).unwrap()
}

/// Which device each interface had in the calls of this verb: `net1 nic-0`, once for each plugin.
fn told(node: &Node<'_>, verb: &str) -> Vec<String> {
    let mut told: Vec<String> = trace::read(&node.folder("trace"))
        .unwrap()
        .iter()
        .filter(|call| call.verb == verb)
        .map(|call| {
            let device = call.input("/deviceID").as_str().unwrap_or("none").to_owned();
            assert_eq!(call.input("/pciBusID").as_str().unwrap_or("none"), device);
            if call.input("/type") == "other" {
                assert_eq!(call.input("/runtimeConfig/deviceID"), device.as_str());
            } else {
                assert_eq!(call.input("/runtimeConfig"), &Value::Null);
            }
            format!("{} {device}", call.var("CNI_IFNAME"))
        })
        .collect();
    told.sort();
    told
}

/// Refused while nothing is touched, by this code and these words.
#[track_caller]
fn refused(node: &Node<'_>, sandbox: &Sandbox, code: u64, words: &[&str]) -> CallOutcome {
    let outcome = node.runtime().add(&sandbox.pod).unwrap();
    let error = outcome.must_fail_with(code);
    for word in words {
        assert!(error.contains(word), "`{word}` is missing in: {error}");
    }
    assert!(node.trace().is_empty() && node.ledger().is_empty(), "nothing was touched");
    outcome
}

fn descriptions(node: &Node<'_>) -> Vec<String> {
    let entries = fs::read_dir(node.folder("devinfo/cni")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

// Proves: MLT-DLG-10, MLT-DLG-11, NPWG-DI-4.1-2, S-17, P-COR-4
#[test]
fn two_networks_have_a_device_each_and_del_asks_nobody() {
    let node = node("devices-two");
    let sandbox = node.sandbox("cart", "b,a");
    let kubelet = kubelet(&node, "cart", &["nic-1", "nic-0", "nic-2"]);
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let expected = ["net1 nic-0", "net1 nic-0", "net2 nic-1", "net2 nic-1"];
    assert_eq!(told(&node, "ADD"), expected);
    assert_eq!(kubelet.asked().len(), 1, "one question for the whole pod");
    drop(kubelet);
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(told(&node, "CHECK"), expected);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(told(&node, "DEL"), expected);
    assert!(node.ledger().is_empty());
}

// Proves: P-COR-4, MLT-DLG-10
#[test]
fn a_new_sandbox_of_the_pod_has_the_same_devices_at_the_same_networks() {
    let node = node("devices-again");
    let first = node.sandbox("cart", "a,b");
    let _kubelet = kubelet(&node, "cart", &["0000:03:02.2", "0000:03:02.1"]);
    node.runtime().add(&first.pod).unwrap().must_succeed();
    node.runtime().del(&first.pod).unwrap().must_succeed();
    let netns = manifold_e2e::netns::TestNetns::new().unwrap();
    let mut again = manifold_e2e::runtime::Pod::new(&netns, node.ns.name(), "cart");
    again.uid = first.pod.uid.clone();
    again.annotations = first.pod.annotations.clone();
    node.runtime().add(&again).unwrap().must_succeed();
    let once = ["net1 0000:03:02.1", "net1 0000:03:02.1", "net2 0000:03:02.2", "net2 0000:03:02.2"];
    let mut twice: Vec<&str> = once.iter().chain(&once).copied().collect();
    twice.sort_unstable();
    assert_eq!(told(&node, "ADD"), twice);
    node.runtime().del(&again).unwrap().must_succeed();
}

// Proves: MLT-DLG-10, S-17
#[test]
fn the_network_in_place_of_the_default_one_takes_part() {
    let node = node("devices-default");
    let reference = format!("{}/b", node.ns.name());
    let sandbox = node.sandbox_with("cart", &[(NETWORKS, "a"), (DEFAULT_NETWORK, &reference)]);
    let _kubelet = kubelet(&node, "cart", &["nic-0", "nic-1"]);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(told(&node, "ADD"), ["eth0 nic-0", "eth0 nic-0", "net1 nic-1", "net1 nic-1"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: NPWG-DI-4.1-1, NPWG-DI-4.2-2, NPWG-DI-4.2-3, NPWG-DI-4.2-4, NPWG-DI-6.1-1, MLT-EXE-8, MLT-DEL-5
#[test]
fn what_the_device_plugin_says_of_a_device_is_in_the_status_until_del() {
    let node = node("devices-described");
    // No plugin of this one declares the capability.
    define(&node, "plain", NIC, &node.fake(&json!({})));
    let described = |n: u32| json!({"type": "pci", "version": "1.1.0", "pci": {"pci-address": format!("0000:03:02.{n}"), "rdma-device": "mlx5_7"}});
    fs::create_dir_all(node.folder("devinfo/dp")).unwrap();
    for n in [1, 2] {
        let file = node.folder(&format!("devinfo/dp/v.example-nic-0000:03:02.{n}-device.json"));
        fs::write(file, described(n).to_string()).unwrap();
    }
    // Bridge and folders stay for the next pod.
    let warm = node.sandbox("warm", "");
    node.runtime().add(&warm.pod).unwrap().must_succeed();
    node.runtime().del(&warm.pod).unwrap().must_succeed();
    fs::create_dir_all(node.folder("devinfo/cni")).unwrap();
    let sandbox = node.sandbox("cart", "a,plain,b");
    let oracle = node.oracle(&[&sandbox.netns]);
    let kubelet = kubelet(&node, "cart", &["0000:03:02.1", "0000:03:02.2", "0000:03:02.3"]);
    let before = oracle.snapshot().unwrap();
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(descriptions(&node).len(), 2, "the third device has no description");
    for call in trace::read(&node.folder("trace")).unwrap() {
        let file = call.input("/runtimeConfig/CNIDeviceInfoFile");
        let declared = call.input("/type") == "other";
        assert_eq!(file.is_string(), declared, "the path is for those that declare it: {file}");
    }
    let status = node.status("cart").unwrap();
    let of = |n: usize| status[n].get("device-info").cloned();
    assert_eq!([of(0), of(1), of(2), of(3)], [None, Some(described(1)), Some(described(2)), None]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(descriptions(&node), Vec::<String>::new());
    drop(kubelet);
    node.assert_clean(&oracle, &before);
}

// Proves: NPWG-DI-4.2-4
#[test]
fn a_failed_add_takes_the_description_away() {
    let node = node("devices-undone");
    let failing = json!({"ADD": {"behave": "fail", "code": 150}});
    define(&node, "failing", NIC, &chain(&node, &failing));
    fs::create_dir_all(node.folder("devinfo/dp")).unwrap();
    fs::write(node.folder("devinfo/dp/v.example-nic-nic-0-device.json"), "{}").unwrap();
    let sandbox = node.sandbox("cart", "failing");
    let _kubelet = kubelet(&node, "cart", &["nic-0"]);
    node.runtime().add(&sandbox.pod).unwrap().must_fail_with(150);
    assert_eq!(descriptions(&node), Vec::<String>::new());
}

// Proves: S-17
#[test]
fn a_pod_gets_no_device_that_is_not_its_own() {
    let node = node("devices-foreign");
    let one = kubelet(&node, "cart", &["nic-0"]);
    let greedy = node.sandbox("cart", "a,b");
    refused(&node, &greedy, 7, &["was given 1 device of resource `v.example/nic`", "raise the limit"]);
    drop(one);
    let foreign = node.sandbox("thief", r#"[{"name":"a","deviceID":"nic-9"}]"#);
    let own = kubelet(&node, "thief", &["nic-0"]);
    refused(&node, &foreign, 7, &["`nic-9` is not one that the pod was given"]);
    drop(own);
    let stranger = node.sandbox("stranger", "a");
    let _others = kubelet(&node, "thief", &["nic-0"]);
    let namespace = node.ns.name();
    refused(&node, &stranger, 11, &["does not know pod", &format!("{namespace}/stranger"), NIC]);
}

// Proves: S-17
#[test]
fn a_device_named_by_the_pod_is_taken_when_it_is_its_own() {
    let node = node("devices-named");
    let sandbox = node.sandbox("cart", r#"[{"name":"a"},{"name":"b","deviceID":"nic-0"}]"#);
    let _kubelet = kubelet(&node, "cart", &["nic-0", "nic-1"]);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(told(&node, "ADD"), ["net1 nic-1", "net1 nic-1", "net2 nic-0", "net2 nic-0"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

#[test]
fn a_kubelet_that_fails_is_one_sentence_and_nothing_is_touched() {
    let mut node = node("devices-down");
    let sandbox = node.sandbox("cart", "a");
    refused(&node, &sandbox, 11, &["kubelet cannot be reached", "kubelet.sock", "podResourcesSocket", NIC]);
    let silent = PodResourcesServer::start(&socket(&node), |_| Reply::Silence).unwrap();
    node.entry.insert("limits".into(), json!({"addSeconds": 4}));
    let outcome = refused(&node, &sandbox, 11, &["did not report", "cart"]);
    assert!(!outcome.timed_out && outcome.wall.as_secs() < 15, "{:?}", outcome.wall);
    drop(silent);
    let _busy = PodResourcesServer::start(&socket(&node), |_| busy()).unwrap();
    refused(&node, &sandbox, 11, &["rate limited"]);
}

// Proves: MLT-DLG-10
#[test]
fn devices_of_resource_claims_are_given_to_networks() {
    let node = node("devices-claims");
    define(&node, "claimed", "driver.example/vf", &node.fake(&json!({})));
    let pod = PodResources::new(node.ns.name(), "cart")
        .with_claim("left", "driver.example", "0000-03-02-1", &["driver.example/vf=x"])
        .with_claim("right", "driver.example", "0000-03-02-2", &["driver.example/vf=y"]);
    let _kubelet = PodResourcesServer::with_pods(&socket(&node), vec![pod]).unwrap();
    let sandbox = node.sandbox("cart", "claimed,claimed");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(told(&node, "ADD"), ["net1 0000:03:02.1", "net2 0000:03:02.2"]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

#[test]
fn a_pod_whose_networks_need_no_device_asks_no_kubelet() {
    let node = node("devices-none");
    node.define("plain", &node.fake(&json!({})));
    let kubelet = kubelet(&node, "cart", &["nic-0"]);
    for (name, networks) in [("cart", "plain,plain"), ("bare", "")] {
        let sandbox = node.sandbox(name, networks);
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(kubelet.asked(), []);
}
