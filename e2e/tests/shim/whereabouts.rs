//! The real whereabouts, executed by bundled interface plugins: addresses out of pools that lie at the API server and not
//! on a node, so no two pods of the cluster ever get the same one.

use manifold_e2e::api_server::{ApiServer, TestNamespace};
use manifold_e2e::whereabouts;
use serde_json::{Value, json};

use crate::kernel;
use crate::networks::With;
use crate::node::Node;
use crate::sandbox::Sandbox;

/// Nodes of one cluster: they share a namespace of pools, and nothing else.
struct Cluster {
    pools: TestNamespace<'static>,
    nodes: Vec<Node<'static>>,
}

impl Cluster {
    fn new(prefix: &str, nodes: usize) -> Self {
        let api = ApiServer::shared().unwrap();
        let real = whereabouts::executable(&mut |_| {}).unwrap();
        whereabouts::install(api).unwrap();
        let pools = api.namespace(prefix).unwrap();
        let nodes = (0..nodes).map(|n| Node::new(&format!("{prefix}-{n}"))).collect();
        let cluster = Self { pools, nodes };
        for node in &cluster.nodes {
            manifold_e2e::executable::install(&real, &node.folder("bin"), &["whereabouts"]).unwrap();
        }
        cluster
    }

    /// The network on every node. Each has its own path to what whereabouts wants to read there.
    fn define(&self, name: &str, conf: impl Fn(&Node<'_>) -> Value, ipam: &Value) {
        for node in &self.nodes {
            let path = whereabouts::configure(self.pools.api(), node.host.folder(), self.pools.name());
            let ipam = ipam
                .clone()
                .with("type", json!("whereabouts"))
                .with("configuration_path", json!(path.unwrap()));
            // It knows no version after that.
            node.define(name, &conf(node).with("cniVersion", json!("1.0.0")).with("ipam", ipam));
        }
    }

    /// Who has an address: `namespace/pod ifname`, sorted.
    fn holders(&self) -> Vec<String> {
        let text = |holder: &Value, key: &str| holder[key].as_str().unwrap().to_owned();
        let all = whereabouts::allocations(self.pools.api(), self.pools.name()).unwrap();
        let mut holders: Vec<String> = all
            .iter()
            .map(|(_, holder)| format!("{} {}", text(holder, "podref"), text(holder, "ifname")))
            .collect();
        holders.sort();
        holders
    }

    /// Nobody has an address, nor is one reserved over pools.
    #[track_caller]
    fn assert_given_back(&self) {
        assert_eq!(self.holders(), Vec::<String>::new());
        let reserved = whereabouts::reservations(self.pools.api(), self.pools.name()).unwrap();
        assert_eq!(reserved, Vec::<String>::new());
    }
}

fn name(node: &Node<'_>, pod: &str) -> String {
    format!("{}/{pod}", node.ns.name())
}

/// Adds pods on every node, looks at every address, and deletes them.
#[track_caller]
fn serves(prefix: &str, conf: impl Fn(&Node<'_>) -> Value, rounds: &[&str], expected: &[&str]) {
    let cluster = Cluster::new(prefix, 2);
    let ipam = json!({"range": "10.70.0.0/24", "range_start": "10.70.0.10", "exclude": ["10.70.0.11/32"],
        "routes": [{"dst": "10.71.0.0/16"}]});
    cluster.define("wide", conf, &ipam);
    let mut pods: Vec<(&Node<'_>, Sandbox)> = Vec::new();
    for round in rounds {
        for node in &cluster.nodes {
            let sandbox = node.sandbox(round, "wide");
            node.runtime().add(&sandbox.pod).unwrap().must_succeed();
            pods.push((node, sandbox));
        }
    }
    let addresses: Vec<_> = pods.iter().flat_map(|(_, pod)| kernel::addresses(&pod.netns, "net1")).collect();
    assert_eq!(addresses, expected);
    let mut expected: Vec<String> =
        rounds.iter().flat_map(|pod| cluster.nodes.iter().map(move |n| name(n, pod) + " net1")).collect();
    expected.sort();
    assert_eq!(cluster.holders(), expected, "by pod and interface");
    for (node, sandbox) in &pods {
        let routes = sandbox.netns.exec(&["ip", "-4", "route", "show", "dev", "net1"]).unwrap();
        assert!(routes.contains("10.71.0.0/16"), "{routes}");
        let status = node.status(&sandbox.pod.name).unwrap();
        assert_eq!(status[1]["ips"], json!(kernel::addresses(&sandbox.netns, "net1")));
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(sandbox.links(), Vec::<String>::new());
        node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    }
    cluster.assert_given_back();
}

// Proves: COMPAT-19.1
#[test]
fn a_bridge_is_the_gateway_at_the_first_host_that_the_pool_leaves_out() {
    let cluster = Cluster::new("wb-gateway", 1);
    let ipam = json!({"range": "10.72.0.0/24", "range_start": "10.72.0.10"});
    cluster.define("wide", |node| node.bridge("mf-wide", &[]).with("isGateway", json!(true)), &ipam);
    let node = &cluster.nodes[0];
    let sandbox = node.sandbox("cart", "wide");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(kernel::addresses(&sandbox.netns, "net1"), ["10.72.0.10"]);
    assert!(node.host.exec(&["ip", "address", "show", "dev", "mf-wide"]).unwrap().contains("10.72.0.1/24"));
    sandbox.netns.exec(&["ping", "-c", "1", "-W", "10", "10.72.0.1"]).unwrap();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    cluster.assert_given_back();
}

#[test]
fn macvlan_gets_addresses_of_the_whole_cluster_from_whereabouts_and_gives_them_back() {
    let expected = ["10.70.0.10", "10.70.0.12", "10.70.0.13", "10.70.0.14"];
    serves("wb-macvlan", |node| node.macvlan(&[]), &["first", "second"], &expected);
}

#[test]
fn bridge_gets_addresses_of_the_whole_cluster_from_whereabouts_and_gives_them_back() {
    let expected = ["10.70.0.10", "10.70.0.12"];
    serves("wb-bridge", |node| node.bridge("mf-wide", &[]), &["only"], &expected);
}

#[test]
fn a_pod_that_is_gone_gives_its_address_of_whereabouts_back() {
    let cluster = Cluster::new("wb-gone", 1);
    cluster.define("wide", |node| node.macvlan(&[]), &json!({"range": "10.72.0.0/24"}));
    let node = &cluster.nodes[0];
    let sandbox = node.sandbox("cart", "wide");
    node.runtime().add(&sandbox.pod).unwrap().must_succeed();
    assert_eq!(cluster.holders(), [name(node, "cart") + " net1"]);
    sandbox.netns.delete();
    node.runtime().del(&sandbox.pod).unwrap().must_succeed();
    cluster.assert_given_back();
    assert_eq!(node.ledger(), Vec::<String>::new());
}

#[test]
fn a_full_pool_of_whereabouts_is_told_in_its_words_and_undoes_the_pod() {
    let cluster = Cluster::new("wb-full", 1);
    // One address between network and broadcast is what is left of this range.
    let ipam = json!({"range": "10.73.0.0/30", "range_start": "10.73.0.1", "range_end": "10.73.0.1"});
    cluster.define("wide", |node| node.macvlan(&[]), &ipam);
    let node = &cluster.nodes[0];
    let [first, second] = ["first", "second"].map(|pod| node.sandbox(pod, "wide"));
    let runtime = node.runtime();
    runtime.add(&first.pod).unwrap().must_succeed();
    let text = runtime.add(&second.pod).unwrap().error_text();
    assert!(text.contains("Could not allocate IP in range"), "{text}");
    assert!(text.contains("network `wide`") && text.contains("undone"), "{text}");
    assert_eq!(second.links(), Vec::<String>::new());
    assert_eq!(cluster.holders(), [name(node, "first") + " net1"], "the other's is its own still");
    runtime.del(&second.pod).unwrap().must_succeed();
    runtime.del(&first.pod).unwrap().must_succeed();
    cluster.assert_given_back();
}

// Shows part of: COMPAT-24
#[test]
fn whereabouts_has_no_check_and_the_interface_is_checked_all_the_same() {
    let cluster = Cluster::new("wb-check", 1);
    cluster.define("wide", |node| node.macvlan(&[]), &json!({"range": "10.74.0.0/24"}));
    let node = &cluster.nodes[0];
    let sandbox = node.sandbox("cart", "wide");
    let runtime = node.runtime();
    runtime.add(&sandbox.pod).unwrap().must_succeed();
    runtime.check(&sandbox.pod).unwrap().must_succeed();
    sandbox.netns.exec(&["ip", "address", "flush", "dev", "net1"]).unwrap();
    let text = runtime.check(&sandbox.pod).unwrap().error_text();
    assert!(text.contains("network `wide`"), "{text}");
    runtime.del(&sandbox.pod).unwrap().must_succeed();
    cluster.assert_given_back();
}
