//! Which delegates are called, in which order, under which names, and with which words of the runtime.

use manifold_e2e::trace::{self, Traced};
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{DEFAULT_NETWORK, NETWORKS, Node};

/// A node on which every network, the default one too, is a fake that takes 50 ms.
fn node_of_fakes(prefix: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    node.install_fakes(&["fake"]);
    let slow = json!({"ADD": {"delayMs": 50}, "DEL": {"delayMs": 50}});
    for name in ["cluster", "everyone", "a", "b", "c"] {
        node.define(name, &node.fake(&slow));
    }
    node.entry.insert("clusterNetwork".into(), json!("cluster"));
    node
}

fn calls(node: &Node<'_>, verb: &str) -> Vec<Traced> {
    trace::read(&node.folder("trace")).unwrap().into_iter().filter(|call| call.verb == verb).collect()
}

/// Network name and interface of each call.
fn who(calls: &[Traced]) -> Vec<String> {
    calls
        .iter()
        .map(|call| format!("{} {}", call.input("/name").as_str().unwrap(), call.var("CNI_IFNAME")))
        .collect()
}

// Proves: MLT-EXE-1, MLT-EXE-2, NPWG-6.2-1, NPWG-7.3-1, NPWG-4-1, MLT-CFG-3, CNI-RUN-2, MLT-STS-2, MLT-STS-6, NPWG-4.2-1
#[test]
fn the_default_network_is_first_and_no_two_are_attached_at_once() {
    let mut node = node_of_fakes("order");
    node.entry.insert("defaultNetworks".into(), json!(["everyone"]));
    let sandbox = node.sandbox("cart", "a, b@data0, a,c");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    let adds = calls(&node, "ADD");
    assert_eq!(who(&adds), ["cluster eth0", "everyone net1", "a net2", "b data0", "a net4", "c net5"]);
    for pair in adds.windows(2) {
        assert!(pair[0].end.unwrap() <= pair[1].start, "two attachments at once");
    }
    let told: Vec<String> =
        node.status("cart").unwrap().iter().map(|e| e["name"].as_str().unwrap().into()).collect();
    let names = ["cluster", "everyone", "a", "b", "a", "c"].map(|name| format!("{}/{name}", node.ns.name()));
    assert_eq!(told, names);
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    let mut dels = who(&calls(&node, "DEL"));
    dels.sort();
    let mut expected = who(&adds);
    expected.sort();
    assert_eq!(dels, expected, "each attachment has its DEL under its own name");
    for line in node.outcomes() {
        let networks = line["networks"].as_array().unwrap();
        assert_eq!(networks.len(), 6, "{line}");
        for network in networks {
            let took = network["duration_ms"].as_u64().unwrap();
            assert!((50..60_000).contains(&took) && network["kind"] == "fake", "{line}");
        }
    }

    node.entry.insert("systemNamespaces".into(), json!([node.ns.name()]));
    let system = node.sandbox("system", "a");
    let before = calls(&node, "ADD").len();
    node.runtime().add(&system.pod).unwrap().must_succeed();
    assert_eq!(who(&calls(&node, "ADD")[before..]), ["cluster eth0", "a net1"]);
    // Pods of the system get their status too.
    assert_eq!(node.status("system").unwrap().len(), 2);
    node.runtime().del(&system.pod).unwrap().must_succeed();
    assert_eq!(node.status("system").unwrap().len(), 2, "DEL leaves the status");
}

// Proves: NPWG-7.5-1, MLT-DEP-2, MLT-EXE-7, S-13
#[test]
fn what_the_runtime_passes_reaches_the_default_network_alone() {
    let node = node_of_fakes("runtime-config");
    let wants = json!({"portMappings": true, "io.kubernetes.cri.pod-annotations": true});
    node.define("wants", &node.fake(&json!({})).with("capabilities", wants.clone()));
    let mut node = node;
    node.entry.insert("clusterNetwork".into(), json!("wants"));
    let mut sandbox = node.sandbox("cart", "wants,a");
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}]);
    sandbox.pod.capability_args.insert("portMappings".into(), ports.clone());
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    // At DEL the runtime may know less than at ADD.
    sandbox.pod.capability_args.clear();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    for verb in ["ADD", "CHECK", "DEL"] {
        for call in calls(&node, verb) {
            let given = call.input("/runtimeConfig");
            match call.var("CNI_IFNAME") {
                "eth0" => {
                    assert_eq!(given["portMappings"], ports, "{verb}");
                    assert_eq!(given["io.kubernetes.cri.pod-annotations"][NETWORKS], "wants,a", "{verb}");
                }
                other => assert_eq!(given, &Value::Null, "{verb} {other}"),
            }
        }
    }
}

/// Every request that the long form knows.
fn everything() -> Value {
    json!([{
        "name": "all", "interface": "data0", "ips": ["10.9.0.7/24", "fd00:9::7/64"], "mac": "02:00:00:00:00:0a",
        "infiniband-guid": "02:00:00:00:00:00:00:0b", "deviceID": "0000:03:02.1",
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"}],
        "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600}, "cni-args": {"b": 9, "c": {"deep": [1.50]}},
        "example.com/private": {"any": "thing"},
    }])
}

// Proves: NPWG-4.1.2.1.3-5, NPWG-4.1.2.1.4-3, NPWG-4.1.2.1.5-2, NPWG-4.1.2.1.6-2, NPWG-4.1.2.1.6-3
// Proves: NPWG-4.1.2.1.6-4, NPWG-4.1.2.1.7-4, NPWG-4.1.2.1.7-6, NPWG-4.1.2.1.8-4, NPWG-4.1.2.1.10-2
// Proves: MLT-DLG-5, MLT-DLG-11, MLT-EXE-5, MLT-EXE-6, P-DEL-12, MLT-CACHE-2
#[test]
fn what_the_pod_asks_for_reaches_every_plugin_that_can_do_it_on_add_and_on_del() {
    let node = node_of_fakes("requests");
    let can = json!({"ips": true, "mac": true, "infinibandGUID": true, "deviceID": true});
    let first = node
        .fake(&json!({}))
        .with("capabilities", can)
        .with("args", json!({"cni": {"a": 1, "b": 2}, "x": 3}));
    let second = node
        .fake(&json!({}))
        .with("capabilities", json!({"portMappings": true, "bandwidth": true, "ips": false}));
    node.define("all", &json!({"cniVersion": "1.0.0", "plugins": [first, second]}));
    let sandbox = node.sandbox("cart", &everything().to_string());
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    for verb in ["ADD", "DEL"] {
        let calls: Vec<Traced> =
            calls(&node, verb).into_iter().filter(|c| c.var("CNI_IFNAME") == "data0").collect();
        let [one, two] = calls.as_slice() else { panic!("{calls:?}") };
        let (first, second) = if verb == "ADD" { (one, two) } else { (two, one) };
        let asked = &everything()[0];
        let expected = json!({"ips": asked["ips"], "mac": asked["mac"], "infinibandGUID": asked["infiniband-guid"],
            "deviceID": "0000:03:02.1"});
        assert_eq!(first.input("/runtimeConfig"), &expected, "{verb}");
        let given = second.input("/runtimeConfig");
        assert_eq!(given["bandwidth"], asked["bandwidth"], "{verb}");
        assert_eq!(
            (&given["portMappings"][0]["hostPort"], &given["portMappings"][0]["hostIP"]),
            (&json!(8080), &json!("10.0.0.1"))
        );
        assert_eq!(given.as_object().unwrap().len(), 2, "{verb}: {given}");
        let merged = json!({"cni": {"a": 1, "b": 9, "c": {"deep": [1.5]}}, "x": 3});
        assert_eq!(first.input("/args"), &merged, "{verb}");
        assert_eq!(second.input("/args"), &json!({"cni": asked["cni-args"]}), "{verb}");
        for call in [first, second] {
            assert_eq!(
                (call.input("/deviceID"), call.input("/pciBusID")),
                (&asked["deviceID"], &asked["deviceID"])
            );
            let id = &sandbox.pod.container_id;
            let ours = format!(
                "IgnoreUnknown=true;K8S_POD_NAMESPACE={};K8S_POD_NAME=cart;K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={}",
                node.ns.name(),
                sandbox.pod.uid.as_ref().unwrap()
            );
            let asked = if verb == "ADD" { ";MAC=02:00:00:00:00:0a;IP=10.9.0.7/24,fd00:9::7/64" } else { "" };
            assert_eq!(call.var("CNI_ARGS"), format!("{ours}{asked}"), "{verb}");
        }
    }
}

// Proves: NPWG-4.1.2.1.3-6, NPWG-4.1.2.1.4-4, NPWG-4.1.2.1.7-5, NPWG-4.1.2.1.8-5, NPWG-4.1.2.1.10-3, MLT-DEP-1, P-COR-6
#[test]
fn a_request_that_no_plugin_can_do_fails_the_pod_before_anything_is_touched() {
    let node = node_of_fakes("capability");
    // A plugin that is known to read neither address from CNI_ARGS: of any other only it can tell.
    let routed = json!({"cniVersion": "1.0.0", "type": "ptp", "ipam": {"type": "dhcp"}});
    node.define("cannot", &routed.with("capabilities", json!({"ips": false})));
    let all = everything();
    let keys = [
        ("ips", "ips"),
        ("mac", "mac"),
        ("infiniband-guid", "infinibandGUID"),
        ("portMappings", "portMappings"),
        ("bandwidth", "bandwidth"),
    ];
    for (key, capability) in keys {
        let networks = json!([json!({"name": "cannot"}).with(key, all[0][key].clone())]).to_string();
        let sandbox = node.sandbox(&format!("pod-{}", key.to_lowercase()), &networks);
        let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
        assert!(
            text.contains(&format!(
                "asks for `{key}`, and no plugin of the network has the capability `{capability}`"
            )),
            "{text}"
        );
    }
    assert_eq!(node.trace(), Vec::<String>::new());
}

// Proves: MLT-DLG-2, NPWG-6-2
#[test]
fn a_pod_may_have_another_default_network_and_one_only() {
    let node = node_of_fakes("default");
    let sandbox = node.sandbox_with("cart", &[(DEFAULT_NETWORK, "b"), (NETWORKS, "a")]);
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(who(&calls(&node, "ADD")), ["b eth0", "a net1"]);
    let status = node.status("cart").unwrap();
    let default: Vec<(&Value, &Value)> =
        status.iter().map(|entry| (&entry["name"], &entry["default"])).collect();
    let name = |name: &str| json!(format!("{}/{name}", node.ns.name()));
    assert_eq!(default, [(&name("b"), &json!(true)), (&name("a"), &json!(false))]);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    let two = node.sandbox_with("two", &[(DEFAULT_NETWORK, "a,b")]);
    let text = node.runtime().add(&two.pod).unwrap().must_fail_with(7);
    assert!(text.contains("it names 2 networks, and a pod has one default network"), "{text}");
}

// Shows part of: P-DEL-7
#[test]
fn a_bond_is_taken_down_before_the_networks_that_are_its_members() {
    let mut node = node_of_fakes("bond");
    node.install_fakes(&["bond"]);
    node.entry.insert("plugins".into(), json!({"bundled": "fallback"}));
    let slow = node.fake(&json!({"DEL": {"delayMs": 300}}));
    node.define("joined", &slow.with("type", json!("bond")));
    let sandbox = node.sandbox("cart", "a,b,joined,c");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    let dels = calls(&node, "DEL");
    assert_eq!(dels.len(), 5);
    let (bonds, others): (Vec<_>, Vec<_>) = dels.iter().partition(|call| call.var("CNI_IFNAME") == "net3");
    let end = bonds[0].end.unwrap();
    assert!(others.iter().all(|call| call.start >= end), "a member went before its bond");
}
