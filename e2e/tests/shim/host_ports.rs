//! Ports of the host, and what a pod may ask of its default network: the whole executable, with the kernel's rules.

use std::fs;

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::netns::TestNetns;
use manifold_e2e::runtime::Pod;
use serde_json::{Value, json};

use crate::kernel;
use crate::networks::With;
use crate::node::{DEFAULT_NETWORK, NETWORKS, Node, manifold};
use crate::sandbox::Sandbox;

/// The default network maps ports, and so does a further one of which pods may ask it.
fn node(prefix: &str, backend: &str) -> Node<'static> {
    let mut node = Node::new(prefix);
    let chain = |name: &str, first: Value| {
        let portmap = json!({"type": "portmap", "backend": backend, "capabilities": {"portMappings": true}});
        json!({"cniVersion": "1.1.0", "name": name, "plugins": [first, portmap]})
    };
    let default = chain("ports", node.default_network());
    fs::write(node.folder("conf/10-ports.conflist"), default.to_string()).unwrap();
    node.entry.insert("clusterNetwork".into(), "ports".into());
    node.define("further", &chain("further", node.bridge("mf-further", &["10.50.0.0/24"])));
    node
}

fn mappings(port: u16, protocol: &str, address: &str) -> Value {
    json!([{"hostPort": port, "containerPort": 80, "protocol": protocol, "hostIP": address}])
}

/// With a `hostPort`, as the kubelet passes it.
fn by_runtime(node: &Node<'_>, name: &str, mappings: Value) -> Sandbox {
    let mut sandbox = node.sandbox(name, "");
    sandbox.pod.capability_args.insert("portMappings".into(), mappings);
    sandbox
}

fn by_annotation(node: &Node<'_>, name: &str, mappings: &Value) -> Sandbox {
    let networks = json!([{"name": "further", "portMappings": mappings}]).to_string();
    node.sandbox_with(name, &[(NETWORKS, &networks)])
}

// Proves: S-24
#[test]
fn a_host_port_of_a_living_pod_is_refused_until_that_pod_has_ended() {
    for backend in ["nftables", "iptables"] {
        let node = node("taken", backend);
        let runtime = node.runtime();
        let ingress = by_runtime(&node, "ingress", mappings(443, "tcp", ""));
        runtime.add(&ingress.pod).unwrap().must_succeed();
        let second = by_runtime(&node, "second", mappings(443, "tcp", ""));
        let evil = by_annotation(&node, "evil", &mappings(443, "tcp", "192.0.2.10"));
        for sandbox in [&second, &evil] {
            let text = runtime.add(&sandbox.pod).unwrap().must_fail_with(11);
            assert!(
                text.contains("the host port 443/tcp") && text.contains("another pod, in sandbox"),
                "{text}"
            );
            assert!(sandbox.links().is_empty(), "{backend}");
        }
        for (name, mappings) in [("udp", mappings(443, "udp", "")), ("port", mappings(444, "tcp", ""))] {
            runtime.add(&by_annotation(&node, name, &mappings).pod).unwrap().must_succeed();
        }
        runtime.del(&ingress.pod).unwrap().must_succeed();
        runtime.add(&second.pod).unwrap().must_succeed();
    }
}

// Proves: S-24
#[test]
fn a_port_is_not_overtaken_while_the_entry_of_its_pod_cannot_be_read() {
    let node = node("unread", "nftables");
    let runtime = node.runtime();
    let ingress = by_runtime(&node, "ingress", mappings(443, "tcp", ""));
    runtime.add(&ingress.pod).unwrap().must_succeed();
    let second = by_runtime(&node, "second", mappings(443, "tcp", ""));
    let faulty = node.script(&format!(
        "exec strace -f -qq -o /dev/null -P {} -e inject=openat:error=EIO {}",
        ingress.pod.container_id,
        manifold().display()
    ));
    let text = node.runtime_of(&faulty).add(&second.pod).unwrap().must_fail_with(11);
    assert!(text.contains("443/tcp") && text.contains("cannot be read now"), "{text}");
    assert!(second.links().is_empty());
    runtime.del(&ingress.pod).unwrap().must_succeed();
    runtime.add(&second.pod).unwrap().must_succeed();
}

// Proves: S-24
#[test]
fn a_pods_next_sandbox_and_whoever_comes_after_a_dead_pod_get_the_port() {
    for backend in ["nftables", "iptables"] {
        let node = node("left", backend);
        let runtime = node.runtime();
        let first = by_runtime(&node, "ingress", mappings(443, "tcp", ""));
        runtime.add(&first.pod).unwrap().must_succeed();
        // The kubelet does not wait for the end of the last one.
        let next_netns = TestNetns::new().unwrap();
        let mut next = Pod::new(&next_netns, &first.pod.namespace, "ingress");
        next.uid = first.pod.uid.clone();
        next.annotations = first.pod.annotations.clone();
        next.capability_args = first.pod.capability_args.clone();
        runtime.add(&next).unwrap().must_succeed();
        let other = by_runtime(&node, "other", mappings(443, "tcp", ""));
        runtime.add(&other.pod).unwrap().must_fail_with(11);
        runtime.del(&first.pod).unwrap().must_succeed();
        runtime.add(&other.pod).unwrap().must_fail_with(11);
        // A runtime that forgets a sandbox: nobody asks for its DEL.
        drop(next_netns);
        runtime.add(&other.pod).unwrap().must_succeed();
    }
}

// Proves: S-22
#[test]
fn host_ports_and_addresses_of_the_default_network_are_refused_in_the_annotation_unless_the_administrator_allows_them()
 {
    let mut node = node("annotated", "nftables");
    let default = json!({"type": "bridge", "bridge": "mf-able", "capabilities": {"ips": true}, "ipam": node.ipam(&["10.50.0.0/24"])});
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    node.define("able", &json!({"cniVersion": "1.1.0", "name": "able", "plugins": [default, portmap]}));
    for (key, value) in [("portMappings", mappings(22, "tcp", "")), ("ips", json!(["10.50.0.77"]))] {
        let asked = json!([{"name": "able", "namespace": node.ns.name(), key: value}]).to_string();
        let sandbox = node.sandbox_with(&key.to_lowercase(), &[(DEFAULT_NETWORK, &asked)]);
        let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
        assert!(text.contains(&format!("`{key}` on its default network")), "{text}");
        assert!(text.contains("`defaultNetworkRequests`") && node.ledger().is_empty(), "{text}");
        node.entry.insert("defaultNetworkRequests".into(), json!([key]));
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        node.entry.remove("defaultNetworkRequests");
    }
}

// Proves: S-22
#[test]
fn a_definition_of_the_nodes_namespace_is_a_default_network_only_where_it_is_listed() {
    let other = ApiServer::shared().unwrap().namespace("infra").unwrap();
    let mut node = node("listed", "nftables");
    other
        .definition(
            "infra",
            &node.bridge("mf-infra", &["10.99.0.0/24"]).with("name", json!("infra")).to_string(),
        )
        .unwrap();
    node.entry.insert("multusNamespace".into(), other.name().into());
    let sandbox = node.sandbox_with("cart", &[(DEFAULT_NETWORK, "infra")]);
    let text = node.runtime().add(&sandbox.pod).unwrap().must_fail_with(7);
    assert!(text.contains("may not use networks") && text.contains("`allowedDefaultNetworks`"), "{text}");
    node.entry.insert("allowedDefaultNetworks".into(), json!(["infra"]));
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(node.leases("infra").len(), 1);
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
}

// Proves: S-23
#[test]
fn cni_args_change_a_setting_only_where_the_definition_lets_them() {
    let node = node("args", "nftables");
    let bridge = node.bridge("mf-args", &["10.50.0.0/24"]);
    let tuning = json!({"type": "tuning"});
    let able = json!({"type": "tuning", "capabilities": {"promisc": true}});
    for (name, last) in [("deaf", tuning), ("able", able)] {
        node.define(name, &json!({"cniVersion": "1.1.0", "name": name, "plugins": [bridge, last]}));
    }
    let asking = |network: &str| {
        let networks = json!([{"name": network, "cni-args": {"promisc": true, "theirs": 1}}]).to_string();
        node.sandbox_with(network, &[(NETWORKS, &networks)])
    };
    let text = node.runtime().add(&asking("deaf").pod).unwrap().must_fail_with(7);
    assert!(text.contains("`promisc` in `cni-args`") && text.contains("\"promisc\": true"), "{text}");
    let able = asking("able");
    node.runtime().add(&able.pod).unwrap().must_succeed();
    assert_eq!(kernel::ip(&able.netns, "-d link show dev net1")[0]["promiscuity"], 1);
    node.runtime().del(&able.pod).unwrap().must_succeed();
}
