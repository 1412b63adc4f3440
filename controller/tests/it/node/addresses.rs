//! Cluster-wide addresses on a node with its agent: the shim claims with the token that the agent gives it and under the shipped
//! policies, and the agent keeps in order what the node holds.

use std::fs;
use std::path::PathBuf;

use manifold_address_store::identity::NodeIdentity;
use manifold_e2e::api_client::ApiClient;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::controller::NAMESPACE;
use manifold_e2e::executable;
use manifold_e2e::forward::Forward;
use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{Pod, Runtime};
use serde_json::{Value, json};

use super::bed::{CONFLIST, Node, define, server};

const POOLS: &str = "/apis/ipam.manifold.network/v1alpha1/addresspools";
const BLOCKS: &str = "/apis/ipam.manifold.network/v1alpha1/addressblocks";

/// A node whose default network takes its addresses from a pool of its own. Dropped in this order: the way to the API server
/// before the host it leads from.
struct Bed<'a> {
    node: Node<'a>,
    /// Of the pool, its domain and the node.
    name: String,
    _forward: Forward,
    host: HostNs,
}

/// A pod that was started.
struct Started {
    pod: Pod,
    result: Value,
    address: String,
    _netns: TestNetns,
}

impl<'a> Bed<'a> {
    fn new(api: &'a ApiServer, name: &str) -> Self {
        let pool = json!({
            "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressPool", "metadata": {"name": name},
            "spec": {"domain": name, "subnet": "10.90.0.0/16", "gateway": "10.90.0.1"},
        });
        api.client().send("POST", POOLS, &pool).unwrap();
        api.ensure_namespace("default").unwrap();
        let network = json!({
            "cniVersion": "1.0.0", "name": "edge", "type": "bridge", "bridge": "br-edge",
            "ipam": {"type": "cluster-local", "pools": [name]},
        });
        define(api, Some(&network.to_string()));
        let node = Node::new(api, name, json!({})).serving();
        let host = HostNs::new().unwrap();
        let forward = Forward::new(&host, api.port()).unwrap();
        let bed = Self { node, name: name.to_owned(), _forward: forward, host };
        bed.node.wait("the node's identity", || bed.identity().is_some());
        bed
    }

    fn identity(&self) -> Option<NodeIdentity> {
        NodeIdentity::read(&self.node.state("")).ok()
    }

    /// What the agent wrote for the runtime, with the folders of this host.
    fn runtime(&self) -> Runtime<'_> {
        let mut list: Value = serde_json::from_slice(&fs::read(self.node.conf(CONFLIST)).unwrap()).unwrap();
        let plugin = &mut list["plugins"][0];
        plugin["stateDir"] = json!(self.node.state(""));
        plugin["kubeconfig"] = json!(self.node.state("credentials/kubeconfig"));
        plugin["binDir"] = json!(self.host.folder().join("bin"));
        plugin["confDir"] = json!(self.host.folder().join("conf"));
        Runtime::new(shim(), &list.to_string(), &self.host).unwrap()
    }

    fn start(&self, name: &str) -> Started {
        let object = self.node.api.pod("default", name, &self.node.name, &[]).unwrap();
        let netns = TestNetns::new().unwrap();
        let mut pod = Pod::new(&netns, "default", name);
        pod.uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let outcome = self.runtime().add(&pod).unwrap();
        outcome.must_succeed();
        let result = outcome.result().unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap().to_owned();
        Started { pod, result, address, _netns: netns }
    }

    fn check(&self, started: &Started) {
        let runtime = self.runtime();
        let input = runtime.attachment_input(&started.pod, Some(started.result.clone()));
        runtime.call("CHECK", Some(&started.pod), input).unwrap().must_succeed();
    }

    fn stop(&self, started: &Started) {
        self.runtime().del(&started.pod).unwrap().must_succeed();
    }

    fn blocks(&self) -> Vec<Value> {
        let path = format!("{BLOCKS}?labelSelector=ipam.manifold.network/domain={}", self.name);
        let list = self.node.get(&path).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The one block that there is.
    fn block(&self) -> Value {
        let [block] = &self.blocks()[..] else { panic!("{:?}", self.blocks()) };
        block.clone()
    }

    fn count(&self, state: &str) -> f64 {
        self.node.sum("manifold_node_addresses", &[("pool", &self.name), ("state", state)])
    }
}

fn shim() -> PathBuf {
    std::env::var_os("MANIFOLD_EXECUTABLE")
        .filter(|path| !path.is_empty())
        .map_or_else(|| executable::executable("manifold").unwrap(), PathBuf::from)
}

impl Drop for Bed<'_> {
    /// The next test is not to find pods that have networks.
    fn drop(&mut self) {
        let pods = "/api/v1/namespaces/default/pods?gracePeriodSeconds=0";
        let _ = self.node.api.client().call("DELETE", pods, "application/json", b"");
    }
}

/// Who may write blocks beside the nodes. The shipped policies refuse them to everybody else, administrators too.
fn controller(api: &ApiServer) -> ApiClient {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    api.write_token(NAMESPACE, "manifold-cluster", &file).unwrap();
    api.client_with_token(&fs::read_to_string(file).unwrap()).unwrap()
}

fn path(block: &Value) -> String {
    format!("{BLOCKS}/{}", block["metadata"]["name"].as_str().unwrap())
}

// Shows part of: IPAM-39, IPAM-84
#[test]
fn the_shim_claims_by_the_agents_token_and_the_agent_keeps_spare_addresses() {
    let api = server();
    let bed = Bed::new(&api, "addresses-spare");
    let first = bed.start("spare-0");
    let holder = &bed.block()["spec"]["holder"];
    let store = fs::read_to_string(bed.node.state(".addresses/.store")).unwrap();
    assert_eq!(holder["node"], bed.node.name.as_str());
    assert_eq!(holder["uid"], bed.node.uid.as_str());
    assert!(store.contains(holder["store"].as_str().unwrap()), "{store} {holder}");
    bed.node.wait("its address is counted", || bed.count("Used") == 1.0 && bed.count("Free") >= 8.0);
    // With the ninth pod fewer than eight are free, and the agent claims a block before a pod has to.
    let mut all = vec![first];
    all.extend((1..9).map(|n| bed.start(&format!("spare-{n}"))));
    bed.node.wait("a second block", || bed.blocks().len() == 2);
    let done = [("kind", "TopUp"), ("outcome", "Done")];
    bed.node.wait("the claim is counted", || {
        bed.node.sum("manifold_node_address_claims_total", &done) == 1.0
            && bed.count("Used") == 9.0
            && bed.count("Free") >= 16.0
    });
    all.iter().for_each(|started| bed.stop(started));
    bed.node.wait("all are free", || bed.count("Used") == 0.0);
}

// Shows part of: IPAM-69
#[test]
fn of_a_recalled_block_the_node_keeps_only_what_pods_use_and_with_the_last_pod_nothing() {
    let api = server();
    let bed = Bed::new(&api, "addresses-recall");
    let started = bed.start("recall");
    let mut recalled = bed.block();
    recalled["spec"]["recall"] = json!({"reason": "PoolShort"});
    controller(&api).send("PUT", &path(&recalled), &recalled).unwrap();
    bed.node.wait("only the pod's address is kept", || {
        let spec = &bed.block()["spec"];
        spec["state"] == "Shared" && spec["allocations"].as_object().is_some_and(|all| all.len() == 1)
    });
    bed.check(&started);
    bed.stop(&started);
    // The object goes with the controller's next round, which does not run here.
    bed.node.wait("nothing of the block is taken", || {
        let spec = &bed.block()["spec"];
        spec["allocations"].as_object().is_none_or(serde_json::Map::is_empty) && spec["holder"].is_null()
    });
}

#[test]
fn a_block_that_somebody_deletes_comes_back_with_the_addresses_that_pods_use() {
    let api = server();
    let bed = Bed::new(&api, "addresses-deleted");
    let started = bed.start("deleted");
    let path = path(&bed.block());
    let uid = bed.block()["metadata"]["uid"].clone();
    controller(&api).send("DELETE", &path, &json!({})).unwrap();
    bed.node.wait("the block is back", || {
        bed.node.get(&path).is_some_and(|found| found["metadata"]["uid"] != uid)
    });
    assert!(bed.node.events("default", "AddressConflict", "deleted").is_empty());
    let second = bed.start("deleted-2");
    assert_ne!(started.address, second.address);
}

#[test]
fn a_lost_folder_is_told_and_nothing_of_its_block_is_given() {
    let api = server();
    let bed = Bed::new(&api, "addresses-lost");
    let started = bed.start("lost");
    let block = bed.block();
    bed.node.kill();
    fs::remove_dir_all(bed.node.state(".addresses")).unwrap();
    bed.node.start();
    bed.node.wait("the block is marked", || {
        bed.node.get(&path(&block)).unwrap_or_default()["spec"]["recall"]["reason"] == "StoreLost"
    });
    bed.node.wait("an event on the Node", || {
        let told = bed.node.events("default", "AddressesLost", &bed.node.name);
        told.iter().any(|note| note.contains(block["spec"]["start"].as_str().unwrap()))
    });
    let second = bed.start("lost-2");
    assert_eq!(bed.blocks().len(), 2, "the second pod's address is of another block");
    assert_ne!(started.address, second.address);
    bed.stop(&started);
}

#[test]
fn an_address_that_somebody_else_has_by_now_is_told_on_the_pod() {
    let api = server();
    let bed = Bed::new(&api, "addresses-conflict");
    let started = bed.start("conflict");
    bed.node.kill();
    // As after the Node object was deleted, and another node claimed the block.
    let old = bed.block();
    let mut new = json!({"apiVersion": old["apiVersion"], "kind": "AddressBlock", "spec": old["spec"],
        "metadata": {"name": old["metadata"]["name"], "labels": old["metadata"]["labels"]}});
    new["spec"]["holder"] = json!({"node": "other", "uid": "00000000-0000-4000-8000-000000000001",
        "store": "0123456789abcdef0123456789abcdef", "epoch": 0});
    let controller = controller(&api);
    controller.send("DELETE", &path(&old), &json!({})).unwrap();
    controller.send("POST", BLOCKS, &new).unwrap();
    bed.node.start();
    bed.node.wait("an event on the pod", || {
        let told = bed.node.events("default", "AddressConflict", "conflict");
        told.iter().any(|note| note.contains(&started.address) && note.contains("delete the pod"))
    });
    bed.stop(&started);
    assert_eq!(bed.block()["spec"]["holder"]["node"], "other", "what is another's is left alone");
}
