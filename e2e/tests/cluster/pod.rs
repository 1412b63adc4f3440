//! Pods of a test: made, waited for, asked, and deleted.
//!
//! What only has to succeed is tried again: a server that is busy, or begins anew, is not what these tests are about.

use anyhow::{Context, ensure};
use manifold_e2e::cluster::{Node, POD};
use serde_json::{Value, json};

use crate::bed::{NETWORKS, STATUS, Space, annotation, text};

impl Space {
    /// A pod on a node that sleeps.
    pub(crate) fn pod(&self, name: &str, node: &Node, networks: &str) {
        self.pod_with(name, networks, &json!({"nodeName": node.name()}));
    }

    /// The same, with more keys of its `spec`.
    pub(crate) fn pod_with(&self, name: &str, networks: &str, more: &Value) {
        let mut spec = pod_spec("exec sleep 1000000");
        for (key, value) in more.as_object().into_iter().flatten() {
            spec.as_object_mut().unwrap().insert(key.clone(), value.clone());
        }
        let annotations = if networks.is_empty() { json!({}) } else { json!({NETWORKS: networks}) };
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec});
        let client = self.cluster.client();
        let made = || client.create_if_missing(&self.path("pods"), &pod).map(Some);
        self.cluster.wait(&format!("pod `{name}` to be taken"), made).unwrap();
    }

    pub(crate) fn get(&self, pod: &str) -> Option<Value> {
        self.look(pod).unwrap()
    }

    /// The same for who looks again.
    pub(crate) fn look(&self, pod: &str) -> anyhow::Result<Option<Value>> {
        self.cluster.get(&self.path(&format!("pods/{pod}")))
    }

    pub(crate) fn wait_ready(&self, pod: &str) -> Value {
        let ready = || Ok(self.look(pod)?.filter(is_ready));
        self.cluster.wait(&format!("pod `{pod}` to be ready"), ready).unwrap()
    }

    /// Returns when a pod runs in a new sandbox with this interface, and the server knows its address: for a while after a
    /// boot it knows the pod as it was before.
    pub(crate) fn wait_anew(&self, pod: &str, interface: &str) {
        let anew = || {
            let said = self.cluster.exec(&self.name, pod, &["ip", "-4", "-o", "address"])?;
            let known = self.look(pod)?.filter(is_ready);
            let address = known.as_ref().map(|pod| format!(" {}/", text(pod, "/status/podIP")));
            let is_known = address.is_some_and(|address| said.contains(&address));
            Ok((is_known && said.contains(&format!(" {interface} "))).then_some(()))
        };
        self.cluster.wait(&format!("`{pod}` to run in a new sandbox"), anew).unwrap();
    }

    /// Deletes a pod and returns when the kubelet has taken it down.
    pub(crate) fn delete(&self, pod: &str) {
        self.ask_to_delete(pod);
        self.wait_gone(pod);
    }

    pub(crate) fn wait_gone(&self, pod: &str) {
        let gone = || Ok(self.look(pod)?.is_none().then_some(()));
        self.cluster.wait(&format!("pod `{pod}` to be gone"), gone).unwrap();
    }

    pub(crate) fn ask_to_delete(&self, pod: &str) {
        let path = self.path(&format!("pods/{pod}"));
        let asked = || {
            let answer = self.cluster.client().call("DELETE", &path, "application/json", b"")?;
            // An attempt whose answer was lost may have done it.
            ensure!(answer.ok() || answer.status == 404, "{}", answer.text());
            Ok(Some(()))
        };
        self.cluster.wait(&format!("the deletion of `{pod}` to be taken"), asked).unwrap();
    }

    /// The network status of a pod, which is written before the pod starts.
    pub(crate) fn status(&self, pod: &str) -> Vec<Value> {
        let told = || {
            let object = self.look(pod)?.context("the pod is gone")?;
            let text = annotation(&object, STATUS);
            Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
        };
        self.cluster.wait(&format!("the network status of `{pod}`"), told).unwrap()
    }

    /// An event about a pod, when there is one with this reason.
    pub(crate) fn wait_event(&self, pod: &str, reason: &str) -> Value {
        self.wait_event_with(pod, reason, "")
    }

    /// An event about a pod with this reason, when its message has these words in it. Who tells of something does so beside
    /// its work, so the work may be seen before.
    pub(crate) fn wait_event_with(&self, pod: &str, reason: &str, words: &str) -> Value {
        let path = self.path("events");
        let is_it = |event: &Value| {
            let about = text(event, "/involvedObject/name") == pod && text(event, "/reason") == reason;
            about && text(event, "/message").contains(words)
        };
        let look = || Ok(self.cluster.list(&path)?.into_iter().find(is_it));
        self.cluster.wait(&format!("the event `{reason}` of `{pod}` with `{words}`"), look).unwrap()
    }

    /// What a program says that succeeds in a pod.
    pub(crate) fn exec(&self, pod: &str, words: &[&str]) -> String {
        let said = || self.cluster.exec(&self.name, pod, words).map(Some);
        self.cluster.wait(&format!("`{}` in `{pod}`", words.join(" ")), said).unwrap()
    }

    /// Returns when an address answers a pod. The first packet to a neighbour may be lost on a busy machine.
    pub(crate) fn wait_reached(&self, from: &str, address: &str) {
        self.exec(from, &["ping", "-c", "1", "-W", "5", address]);
    }
}

/// One container, which runs this shell script.
pub(crate) fn pod_spec(script: &str) -> Value {
    json!({
        // With none at all the server forgets the pod before the kubelet has taken it down.
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": POD, "imagePullPolicy": "Never",
                        "command": ["/bin/sh", "-c", script]}],
    })
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let all = pod.pointer("/status/conditions").and_then(Value::as_array);
    all.into_iter().flatten().any(|c| {
        c.get("type").and_then(Value::as_str) == Some("Ready")
            && c.get("status").and_then(Value::as_str) == Some("True")
    })
}
