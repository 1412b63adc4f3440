//! The node agent is down, now and then or for long: what it put on the node stays, and pods come and go.

use std::collections::BTreeMap;
use std::fs;

use manifold_e2e::cluster::{Cluster, Node};
use manifold_e2e::controller::NAMESPACE;
use serde_json::{Value, json};

use crate::bed::{Space, is_ready, text};
use crate::left::wait_nothing_left;
use crate::processes::Process;

/// The kubelet waits 10 s before the second start, 20 s before the third, and so on.
const KILLS: usize = 3;
const DAEMON_SET: &str = "daemonset/manifold-node";

/// Everything that it put on a node, by path.
fn put_on(node: &Node) -> BTreeMap<&'static str, Vec<u8>> {
    let files = [
        "/etc/cni/net.d/00-manifold.conflist",
        "/opt/cni/bin/manifold",
        "/opt/cni/bin/loopback",
        "/var/lib/cni/manifold/cluster-wide-network.json",
        "/var/lib/cni/manifold/credentials/kubeconfig",
        "/var/lib/cni/manifold/credentials/token",
    ];
    files.into_iter().map(|file| (file, fs::read(node.path(file)).unwrap())).collect()
}

/// The same but the token, which every start renews.
fn lasting(node: &Node) -> BTreeMap<&'static str, Vec<u8>> {
    let mut files = put_on(node);
    let token = files.remove("/var/lib/cni/manifold/credentials/token").unwrap();
    assert!(token.len() > 100, "there is a token");
    files
}

/// The pod of the node agent on a node, when it is ready.
fn ready_pod(cluster: &Cluster, node: &Node) -> Value {
    let selector = "labelSelector=app.kubernetes.io/name%3Dmanifold-node";
    let look = || {
        let pods = cluster.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}"))?;
        Ok(pods.into_iter().find(|pod| text(pod, "/spec/nodeName") == node.name() && is_ready(pod)))
    };
    cluster.wait("the node agent to be ready", look).unwrap()
}

fn restarts(pod: &Value) -> u64 {
    pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64).unwrap()
}

/// Brings the node agent back, whatever happened.
struct Away<'a>(&'a Cluster);

impl<'a> Away<'a> {
    /// No node is good enough for it.
    fn everywhere(cluster: &'a Cluster) -> Self {
        let away = Self(cluster);
        away.select(&json!({"nobody": "here"})).unwrap();
        away
    }

    fn select(&self, labels: &Value) -> anyhow::Result<()> {
        let patch = json!({"spec": {"template": {"spec": {"nodeSelector": labels}}}}).to_string();
        let words = ["patch", DAEMON_SET, "--namespace", NAMESPACE, "--patch", &patch];
        self.0.wait("the node agent to be sent elsewhere", || self.0.kubectl(&words).map(Some)).map(drop)
    }

    fn end(&self) -> anyhow::Result<()> {
        self.select(&json!({"nobody": null}))?;
        self.0.wait_installed()
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let ended = self.end();
        // A second panic would hide what the first one says.
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

// Proves: F-NOD-6, P-UP-7
#[test]
fn pods_come_and_go_while_the_node_role_is_killed_again_and_again() {
    let space = Space::new("killed");
    space.macvlan("green", 82);
    let node = &space.cluster.nodes()[0];
    let before = lasting(node);
    let restarted = restarts(&ready_pod(space.cluster, node));
    space.pod("old", node, &space.network("green"));
    space.wait_ready("old");
    for round in 0..KILLS {
        let role = Process::wait_node_role(space.cluster, node);
        role.kill();
        let pod = format!("new{round}");
        space.pod(&pod, node, &space.network("green"));
        space.wait_ready(&pod);
        space.delete(if round == 0 { "old" } else { &pod });
        assert_eq!(lasting(node), before, "round {round}");
        assert_ne!(Process::of_node_role(node), Some(role), "it was killed");
    }
    space.delete("new0");
    let back = ready_pod(space.cluster, node);
    assert!(restarts(&back) > restarted, "{back}");
    assert_eq!(lasting(node), before);
    assert_eq!(space.leases(node, "green"), Vec::<String>::new());
    wait_nothing_left(space.cluster);
}

// Proves: F-NOD-6, P-UP-7
#[test]
fn pods_come_and_go_while_no_node_role_runs_at_all() {
    let space = Space::new("norole");
    space.macvlan("green", 83);
    let nodes = space.cluster.nodes();
    for (number, node) in nodes.iter().enumerate() {
        space.pod(&format!("old{number}"), node, &space.network("green"));
        space.wait_ready(&format!("old{number}"));
    }
    let away = Away::everywhere(space.cluster);
    let gone = || Ok(nodes.iter().all(|node| Process::of_node_role(node).is_none()).then_some(()));
    space.cluster.wait("the node agent to be gone", gone).unwrap();
    let before: Vec<_> = nodes.iter().map(put_on).collect();
    for (number, node) in nodes.iter().enumerate() {
        space.pod(&format!("new{number}"), node, &space.network("green"));
        space.pod(&format!("plain{number}"), node, "");
    }
    for number in 0..nodes.len() {
        for pod in ["new", "plain"] {
            space.wait_ready(&format!("{pod}{number}"));
        }
        assert_eq!(space.status(&format!("new{number}")).len(), 2, "published without it");
        for pod in ["old", "new", "plain"] {
            space.delete(&format!("{pod}{number}"));
        }
    }
    assert_eq!(nodes.iter().map(put_on).collect::<Vec<_>>(), before);
    assert!(nodes.iter().all(|node| Process::of_node_role(node).is_none()), "it stayed away");
    drop(away);
    for node in nodes {
        ready_pod(space.cluster, node);
        assert_eq!(space.leases(node, "green"), Vec::<String>::new());
    }
    wait_nothing_left(space.cluster);
}
