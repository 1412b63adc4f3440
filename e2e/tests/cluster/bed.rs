//! The cluster that is up, a namespace per test, and the usual networks.

use std::io::Write;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use manifold_e2e::cluster::{Cluster, Node};
use serde_json::{Value, json};

pub(crate) use crate::pod::{is_ready, pod_spec};

pub(crate) const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub(crate) const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// Where configurations of networks lie on a node, for definitions that have none of their own.
const ON_DISK: &str = "/etc/cni/net.d";

pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::running().unwrap())
}

/// A namespace of one test. What happened in it is told when the test fails.
pub(crate) struct Space {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
    /// It was there before the test, which takes away what it makes in it.
    borrowed: bool,
}

impl Space {
    pub(crate) fn new(prefix: &str) -> Self {
        Self::on(cluster(), prefix)
    }

    pub(crate) fn on(cluster: &'static Cluster, prefix: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let space = Self { cluster, name, borrowed: false };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}});
        let made = || space.cluster.client().create_if_missing("/api/v1/namespaces", &object).map(Some);
        space.cluster.wait("the namespace to be taken", made).unwrap();
        let account = space.path("serviceaccounts/default");
        space.cluster.wait("the namespace's account", || space.cluster.get(&account)).unwrap();
        space
    }

    /// One that every cluster has.
    pub(crate) fn existing(name: &str) -> Self {
        Self { cluster: cluster(), name: name.to_owned(), borrowed: true }
    }

    /// A path of the core group in this namespace.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.name)
    }

    /// A macvlan network on the nodes' first card. Each node gives out addresses of its own range of it.
    pub(crate) fn macvlan(&self, name: &str, second_octet: u8) {
        self.on_disk(name, |number| {
            json!({"cniVersion": "1.0.0", "name": self.network(name), "type": "macvlan", "master": "eth0",
                   "ipam": range(second_octet, number)})
        });
    }

    /// A bridge that has the nodes' second card as a port, so that it spans all of them.
    pub(crate) fn bridge(&self, name: &str, second_octet: u8) {
        for node in self.cluster.nodes() {
            let script = "ip link show wire0 >/dev/null 2>&1 || ip link add wire0 type bridge; \
                          ip link set wire0 up; ip link set eth1 master wire0";
            node.exec(&["sh", "-c", script]).unwrap();
        }
        self.on_disk(name, |number| {
            json!({"cniVersion": "1.0.0", "name": self.network(name), "type": "bridge", "bridge": "wire0",
                   "ipam": range(second_octet, number)})
        });
    }

    /// A definition without a configuration; each node has one of its own.
    fn on_disk(&self, name: &str, config: impl Fn(usize) -> Value) {
        for (node, number) in self.cluster.nodes().iter().zip(1..) {
            node.write(&format!("{ON_DISK}/{}.conf", self.network(name)), &config(number).to_string())
                .unwrap();
        }
        self.apply(&json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                    "metadata": {"name": self.network(name), "namespace": self.name}, "spec": {}}));
    }

    /// A definition with this configuration.
    pub(crate) fn definition(&self, name: &str, config: &Value) {
        let object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": self.name}, "spec": {"config": config.to_string()}});
        self.apply(&object);
    }

    /// An object that nobody refuses.
    pub(crate) fn apply(&self, object: &Value) {
        let applied = || self.cluster.apply(&object.to_string()).map(Some);
        self.cluster.wait("an object to be applied", applied).unwrap();
    }

    /// Returns when no pod of it is left, or is not going to go.
    fn wait_empty(&self) {
        let empty = || Ok(self.cluster.list(&self.path("pods"))?.is_empty().then_some(()));
        if let Err(wrong) = self.cluster.wait("the pods to be gone", empty) {
            let _ = writeln!(std::io::stderr(), "after the test: {wrong:#}");
        }
    }

    /// The name of a network and of its lease folder, which no other test has.
    pub(crate) fn network(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The addresses that a node has given out on a network of this test.
    pub(crate) fn leases(&self, node: &Node, network: &str) -> Vec<String> {
        leases(node, &self.network(network))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words = ["get", "pods,events", "--namespace", &self.name, "-o", "wide"];
            let said = self.cluster.kubectl(&words).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(std::io::stderr(), "{said}");
        }
        if !self.borrowed {
            let path = format!("/api/v1/namespaces/{}", self.name);
            let _ = self.cluster.client().call("DELETE", &path, "application/json", b"");
            // A test that passed has waited for what it deleted; what a failed one leaves must not be the next one's.
            if std::thread::panicking() && std::ptr::eq(self.cluster, cluster()) {
                self.wait_empty();
            }
        }
    }
}

/// Addresses of `10.OCTET.0.0/16`: those of a node are in `10.OCTET.NUMBER.0/24`.
fn range(octet: u8, node: usize) -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{octet}.0.0/16"),
        "rangeStart": format!("10.{octet}.{node}.2"), "rangeEnd": format!("10.{octet}.{node}.250")}]]})
}

pub(crate) fn leases(node: &Node, network: &str) -> Vec<String> {
    let folder = node.path(&format!("/var/lib/cni/networks/{network}"));
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = names.filter(|name| name.starts_with("10.")).collect();
    found.sort();
    found
}

/// The sandboxes that Manifold knows on a node.
pub(crate) fn ledger(node: &Node) -> Vec<String> {
    let names = std::fs::read_dir(node.path("/var/lib/cni/manifold")).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // What is not a sandbox begins with a dot, or has a name of its own.
    names.filter(|name| name.len() == 64).collect()
}

pub(crate) fn annotation(object: &Value, key: &str) -> Option<String> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str().map(str::to_owned)
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
