//! A cluster's worth of objects: nodes, definitions, and pods as large as real ones, written over many connections.
//!
//! Nobody runs these pods. Two of five ask for two networks of their own namespace, and carry the status that they would
//! have: it is written as they are made, so this happens before the policies are there, or without the one that
//! forbids it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use crate::api_client::Session;
use crate::api_server::ApiServer;

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// How large the cluster is. Everything else follows from the number of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    pub api: &'a ApiServer,
    pub nodes: usize,
    pub definitions: usize,
    /// Connections that write at the same time.
    pub hands: usize,
}

/// Definitions that a namespace has.
const PER_NAMESPACE: usize = 10;

impl Fleet<'_> {
    pub fn make_nodes(&self) -> anyhow::Result<()> {
        self.by_many(0..self.nodes, |session, number| {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node(number),
                "labels": {"kubernetes.io/hostname": node(number), "kubernetes.io/os": "linux"}}});
            made(&session.write("POST", "/api/v1/nodes", &node)?)
        })
    }

    /// The definitions, and the namespaces that hold them.
    pub fn make_definitions(&self) -> anyhow::Result<()> {
        self.by_many(0..self.namespaces(), |session, number| {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number)}});
            made(&session.write("POST", "/api/v1/namespaces", &namespace)?)?;
            let account =
                json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
            let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", self::namespace(number));
            made(&session.write("POST", &accounts, &account)?)
        })?;
        self.by_many(0..self.definitions, |session, number| {
            let config = json!({"cniVersion": "1.0.0", "name": definition(number), "type": "macvlan", "master": "eth1",
                "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{}.0.0/16", number % 250)}]]}});
            let object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": definition(number)}, "spec": {"config": config.to_string()}});
            let home = namespace(number / PER_NAMESPACE);
            let path = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{home}/network-attachment-definitions");
            made(&session.write("POST", &path, &object)?)
        })
    }

    pub fn make_pods(&self, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
        self.by_many(numbers, |session, number| self.make_pod(session, number))
    }

    pub fn make_pod(&self, session: &mut Session, number: usize) -> anyhow::Result<()> {
        made(&session.write("POST", &pods(&self.home(number)), &self.pod(number))?)
    }

    pub fn delete_pod(&self, session: &mut Session, number: usize) -> anyhow::Result<()> {
        let path = format!("{}/{}?gracePeriodSeconds=0", pods(&self.home(number)), pod_name(number));
        let answer = session.delete(&path)?;
        ensure!(answer.ok(), "DELETE {path} was refused with {}: {}", answer.status, answer.text());
        Ok(())
    }

    /// The definitions that a pod asks for, as `namespace/name`.
    pub fn asked_by(&self, number: usize) -> Vec<String> {
        if number % 5 >= 2 {
            return Vec::new();
        }
        let home = self.home_number(number);
        let here = PER_NAMESPACE.min(self.definitions - home * PER_NAMESPACE);
        let turn = number / 5;
        let pick =
            |turn: usize| format!("{}/{}", namespace(home), definition(home * PER_NAMESPACE + turn % here));
        vec![pick(turn), pick(turn + 1)]
    }

    fn namespaces(&self) -> usize {
        self.definitions.div_ceil(PER_NAMESPACE)
    }

    /// The number of a pod's namespace.
    pub fn home_number(&self, pod: usize) -> usize {
        pod / 7 % self.namespaces()
    }

    fn home(&self, pod: usize) -> String {
        namespace(self.home_number(pod))
    }

    fn pod(&self, number: usize) -> Value {
        let asked = self.asked_by(number);
        let app = format!("app-{}", number / 50);
        let annotations = if asked.is_empty() {
            json!({"prometheus.io/scrape": "true"})
        } else {
            let names: Vec<&str> = asked.iter().filter_map(|name| name.split('/').next_back()).collect();
            let status = status(&asked, number).to_string();
            json!({"prometheus.io/scrape": "true", (NETWORKS): names.join(","), (STATUS): status})
        };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": pod_name(number),
                "labels": {"app.kubernetes.io/name": app, "pod-template-hash": format!("{:x}", number / 50)},
                "annotations": annotations,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app,
                    "uid": format!("00000000-0000-4000-8000-{:012x}", number / 50), "controller": true}],
            },
            "spec": {
                "nodeName": node(number % self.nodes),
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "none"}],
            },
        })
    }

    /// Does it for every number, over as many connections as there are hands.
    fn by_many(
        &self,
        numbers: std::ops::Range<usize>,
        act: impl Fn(&mut Session, usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(numbers.start);
        let hand = || -> anyhow::Result<()> {
            let mut session = self.api.client().session();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(());
                }
                act(&mut session, number)?;
            }
        };
        thread::scope(|scope| {
            let hands: Vec<_> = (0..self.hands.max(1)).map(|_| scope.spawn(hand)).collect();
            hands.into_iter().try_for_each(|hand| hand.join().expect("a hand does not panic"))
        })
    }
}

fn status(asked: &[String], number: usize) -> Value {
    let address = |net: usize| format!("10.{net}.{}.{}", number / 250 % 250, number % 250);
    let mut all = vec![json!({"name": "manifold-system/cluster-wide-network", "interface": "eth0",
        "ips": [address(0)], "mac": "02:00:00:00:00:01", "default": true, "dns": {}})];
    all.extend(asked.iter().enumerate().map(|(net, name)| {
        json!({"name": name, "interface": format!("net{}", net + 1), "ips": [address(net + 1)],
            "mac": "02:00:00:00:00:02", "mtu": 1500, "dns": {}})
    }));
    Value::from(all)
}

/// One that is there already was made by an attempt whose answer was lost.
fn made(answer: &crate::api_client::Answer) -> anyhow::Result<()> {
    if !answer.ok() && answer.status != 409 {
        bail!("an object was refused with {}: {}", answer.status, answer.text());
    }
    Ok(())
}

fn node(number: usize) -> String {
    format!("node-{number:05}")
}

fn namespace(number: usize) -> String {
    format!("load-{number}")
}

fn definition(number: usize) -> String {
    format!("network-{number}")
}

fn pod_name(number: usize) -> String {
    format!("app-{}-{:x}-{number:06}", number / 50, number / 50)
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}
