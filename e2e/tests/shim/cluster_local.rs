//! IPAM type `cluster-local`: nodes that share nothing but the API server give no address twice, find the last free one, and
//! free with a DEL what they gave.

use std::collections::BTreeSet;

use manifold_address_store::identity::NodeIdentity;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use crate::concurrency::{Call, together};
use crate::kernel;
use crate::networks::With;
use crate::node::{NETWORKS, Node};
use crate::sandbox::Sandbox;

const NODES: usize = 3;
const BLOCKS: &str = "/apis/ipam.manifold.network/v1alpha1/addressblocks";

/// Nodes that know who they are, as the node agent tells them.
fn nodes(prefix: &str) -> Vec<Node<'static>> {
    let api = ApiServer::shared().unwrap();
    (0..NODES)
        .map(|n| {
            let name = format!("{prefix}-{n}");
            let node = Node::on(api, &name);
            let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.ns.name()}});
            let made = api.client().send("POST", "/api/v1/nodes", &object).unwrap();
            let uid = made["metadata"]["uid"].as_str().unwrap();
            let identity = NodeIdentity { node: node.ns.name().parse().unwrap(), uid: uid.parse().unwrap() };
            identity.write(&node.folder("state")).unwrap();
            node
        })
        .collect()
}

/// macvlan with these addresses, in a domain that other tests do not have.
fn network(node: &Node<'_>, domain: &str, range: &Value) -> Value {
    let ipam = json!({"type": "cluster-local", "domain": domain, "ranges": [[range]]});
    node.macvlan(&[]).with("ipam", ipam)
}

fn address(sandbox: &Sandbox) -> String {
    let all = kernel::addresses(&sandbox.netns, "net1");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

fn blocks(domain: &str) -> Vec<Value> {
    let path = format!("{BLOCKS}?labelSelector=ipam.manifold.network/domain={domain}");
    let list = ApiServer::shared().unwrap().client().get(&path).unwrap().json().unwrap();
    list["items"].as_array().cloned().unwrap()
}

// Shows part of: IPAM-37, IPAM-43
#[test]
fn twelve_pods_on_three_nodes_at_once_share_twelve_addresses_and_the_next_one_hears_why_not() {
    const PODS: usize = 12;
    const DOMAIN: &str = "exact";
    let nodes = nodes("exact");
    let range = json!({"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.10", "rangeEnd": "10.77.0.21"});
    nodes.iter().for_each(|node| node.define("exact", &network(node, DOMAIN, &range)));
    let runtimes: Vec<_> = nodes.iter().map(Node::runtime).collect();
    let (on, by) = (|n: usize| &nodes[n % NODES], |n: usize| &runtimes[n % NODES]);
    let sandboxes: Vec<_> = (0..PODS).map(|n| on(n).sandbox(&format!("pod-{n}"), "exact")).collect();
    let late = on(0).sandbox("late", "exact");
    let add = |(n, sandbox): (usize, &Sandbox)| by(n).add(&sandbox.pod).unwrap();
    let adds = sandboxes.iter().enumerate().map(|one| Box::new(move || add(one)) as Call<'_>).collect();
    together(adds).iter().for_each(|outcome| drop(outcome.must_succeed()));

    let given: BTreeSet<String> = sandboxes.iter().map(address).collect();
    let wanted: BTreeSet<String> = (10..22).map(|n| format!("10.77.0.{n}")).collect();
    assert_eq!(given, wanted);
    for (n, sandbox) in sandboxes.iter().enumerate() {
        by(n).check(&sandbox.pod).unwrap().must_succeed();
    }
    let told = by(0).add(&late.pod).unwrap().must_fail_with(11);
    for part in ["no free address", "12 in all", "add a range"] {
        assert!(told.contains(part), "{told}");
    }
    // A pod of the same node goes, and its address starts the one that waits, without any other node.
    let freed = address(&sandboxes[0]);
    by(0).del(&sandboxes[0].pod).unwrap().must_succeed();
    by(0).add(&late.pod).unwrap().must_succeed();
    assert_eq!(address(&late), freed);
    assert!(!blocks(DOMAIN).is_empty());
}

// Shows part of: IPAM-39
#[test]
fn a_node_asks_once_for_its_next_sixteen_pods_and_a_del_needs_no_api_server() {
    const DOMAIN: &str = "blocks";
    let mut nodes = nodes("blocks");
    let range = json!({"subnet": "10.78.0.0/16"});
    for node in &nodes {
        node.define("wide", &network(node, DOMAIN, &range));
    }
    let first: Vec<_> = nodes.iter().map(|node| node.sandbox("first", "wide")).collect();
    for (node, sandbox) in nodes.iter().zip(&first) {
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    }
    let given: BTreeSet<String> = first.iter().map(address).collect();
    assert_eq!(given.len(), NODES, "{given:?}");
    let before = blocks(DOMAIN);
    assert_eq!(before.len(), NODES, "a block for each node: {before:?}");
    let second: Vec<_> = nodes.iter().map(|node| node.sandbox("second", "wide")).collect();
    for (node, sandbox) in nodes.iter().zip(&second) {
        node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    }
    assert_eq!(blocks(DOMAIN), before, "no block was written for the second pods");
    for (node, (first, second)) in nodes.iter_mut().zip(first.iter().zip(&second)) {
        node.cut_off();
        for sandbox in [first, second] {
            node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        }
        assert!(node.ledger().is_empty(), "{:?}", node.ledger());
    }
}

// Shows part of: IPAM-50
#[test]
fn an_address_by_name_is_given_once_and_whoever_asks_next_hears_where_it_is() {
    const DOMAIN: &str = "named";
    let nodes = nodes("named");
    let range = json!({"subnet": "10.79.0.0/24"});
    nodes.iter().for_each(|node| node.define("named", &network(node, DOMAIN, &range)));
    let ask = |node: &Node<'_>, pod: &str| {
        let networks = json!([{"name": "named", "ips": ["10.79.0.40"]}]).to_string();
        node.sandbox_with(pod, &[(NETWORKS, &networks)])
    };
    let (one, two) = (ask(&nodes[0], "one"), ask(&nodes[1], "two"));
    nodes[0].runtime().add(&one.pod).unwrap().must_succeed();
    assert_eq!(address(&one), "10.79.0.40");
    let told = nodes[1].runtime().add(&two.pod).unwrap().must_fail_with(11);
    assert!(told.contains("10.79.0.40") && told.contains(nodes[0].ns.name()), "{told}");
    assert!(two.links().is_empty(), "a pod without its address is not attached: {:?}", two.links());
}

// Shows part of: IPAM-52, IPAM-53
#[test]
fn an_ipam_claim_tells_its_address_and_keeps_it_for_the_next_pod() {
    const DOMAIN: &str = "claimed";
    let nodes = nodes("claimed");
    let node = &nodes[0];
    node.define("kept", &network(node, DOMAIN, &json!({"subnet": "10.80.0.0/24"})));
    let claims = format!("/apis/k8s.cni.cncf.io/v1alpha1/namespaces/{}/ipamclaims", node.ns.name());
    let claim = json!({
        "apiVersion": "k8s.cni.cncf.io/v1alpha1", "kind": "IPAMClaim", "metadata": {"name": "vm-a.kept"},
        "spec": {"network": "kept", "interface": "net1"},
    });
    let api = ApiServer::shared().unwrap();
    api.client().send("POST", &claims, &claim).unwrap();
    let runtime = node.runtime();
    let networks = json!([{"name": "kept", "ipam-claim-reference": "vm-a.kept"}]).to_string();
    let start = |pod: &str| {
        let sandbox = node.sandbox_with(pod, &[(NETWORKS, &networks)]);
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        sandbox
    };
    let one = start("one");
    let given = address(&one);
    let status = api.client().get(&format!("{claims}/vm-a.kept")).unwrap().json().unwrap()["status"].clone();
    assert_eq!(status, json!({"ips": [format!("{given}/24")], "ownerPod": "one"}));
    runtime.del(&one.pod).unwrap().must_succeed();
    // The pod is gone, and the address is still the claim's.
    assert_eq!(address(&start("two")), given);
}
