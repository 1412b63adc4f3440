//! A namespace per test, and the objects that tests put into it.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::api_client::ApiClient;

use super::ApiServer;

/// Annotations of a pod to be made.
pub type Annotations<'a> = &'a [(&'a str, &'a str)];

/// A namespace of one test, deleted with all that is in it, in the background, when dropped.
#[derive(Debug)]
pub struct TestNamespace<'a> {
    api: &'a ApiServer,
    name: String,
}

impl ApiServer {
    /// A new namespace, whose name begins with `prefix`, with its `default` service account.
    pub fn namespace(&self, prefix: &str) -> anyhow::Result<TestNamespace<'_>> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        self.ensure_namespace(&name)?;
        Ok(TestNamespace { api: self, name })
    }

    /// A namespace under a name that matters; left alone if it exists.
    pub fn ensure_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.client.create_if_missing("/api/v1/namespaces", &namespace)?;
        self.service_account(name, "default")
    }

    pub(super) fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.client.create_if_missing(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account)
    }

    /// Makes a NetworkAttachmentDefinition whose `spec.config` is exactly these bytes.
    pub fn definition(&self, namespace: &str, name: &str, config: &str) -> anyhow::Result<Value> {
        let object = json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name},
            "spec": {"config": config},
        });
        self.client.send("POST", &definitions(namespace), &object)
    }

    /// Makes a pod that is bound to the node `node` (which need not exist), and returns the object.
    pub fn pod(
        &self,
        namespace: &str,
        name: &str,
        node: &str,
        annotations: Annotations<'_>,
    ) -> anyhow::Result<Value> {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_string(), Value::from(*value))).collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none"}],
            },
        });
        self.client.send("POST", &pods(namespace), &object)
    }
}

impl TestNamespace<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn api(&self) -> &ApiServer {
        self.api
    }

    /// Makes a NetworkAttachmentDefinition whose `spec.config` is exactly these bytes.
    pub fn definition(&self, name: &str, config: &str) -> anyhow::Result<Value> {
        self.api.definition(&self.name, name, config)
    }

    pub fn delete_definition(&self, name: &str) -> anyhow::Result<()> {
        self.delete(&format!("{}/{name}", definitions(&self.name)))
    }

    /// Makes a pod bound to the node `test-node`; returns its UID.
    pub fn pod(&self, name: &str, annotations: Annotations<'_>) -> anyhow::Result<String> {
        let pod = self.api.pod(&self.name, name, "test-node", annotations)?;
        let uid = pod.pointer("/metadata/uid").and_then(Value::as_str);
        uid.map(str::to_string).context("the API server made a pod without a UID")
    }

    pub fn delete_pod(&self, name: &str) -> anyhow::Result<()> {
        self.delete(&format!("{}/{name}?gracePeriodSeconds=0", pods(&self.name)))
    }

    pub fn get_pod(&self, name: &str) -> anyhow::Result<Value> {
        let path = format!("{}/{name}", pods(&self.name));
        let answer = self.api.client.get(&path)?;
        if !answer.ok() {
            bail!("GET {path} was refused with {}: {}", answer.status, answer.text());
        }
        answer.json()
    }

    /// One annotation of a pod, as it is at the API server now.
    pub fn annotation(&self, pod: &str, key: &str) -> anyhow::Result<Option<String>> {
        let pod = self.get_pod(pod)?;
        let value = pod.pointer("/metadata/annotations").and_then(|all| all.get(key)).and_then(Value::as_str);
        Ok(value.map(str::to_string))
    }

    /// Pods and definitions with their contents, for the leak oracle. What the server counts up is left out.
    pub fn objects(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut objects = Vec::new();
        for path in [pods(&self.name), definitions(&self.name)] {
            let list = self.api.client.get(&path)?.json()?;
            let kind = path.rsplit('/').next().unwrap_or_default().to_string();
            for mut object in list.get("items").and_then(Value::as_array).cloned().unwrap_or_default() {
                let metadata =
                    object.get_mut("metadata").and_then(Value::as_object_mut).context("no metadata")?;
                metadata.retain(|key, _| key != "resourceVersion" && key != "managedFields");
                let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
                objects.push((format!("{kind}/{name}"), object.to_string()));
            }
        }
        Ok(objects)
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.api.client.call("DELETE", path, "application/json", b"")?;
        if !answer.ok() {
            bail!("DELETE {path} was refused with {}: {}", answer.status, answer.text());
        }
        Ok(())
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        let (client, name) = (self.api.client.clone(), self.name.clone());
        // Nobody waits for it; what it does not manage before the process ends dies with the server.
        thread::spawn(move || remove(&client, &name));
    }
}

/// Without a controller-manager a namespace is emptied and finalized by whoever wants it gone.
fn remove(client: &ApiClient, name: &str) {
    let namespace = format!("/api/v1/namespaces/{name}");
    for path in [format!("{}?gracePeriodSeconds=0", pods(name)), definitions(name), namespace.clone()] {
        let _ = client.call("DELETE", &path, "application/json", b"");
    }
    let finalized = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []},
    });
    let _ = client.send("PUT", &format!("{namespace}/finalize"), &finalized);
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn definitions(namespace: &str) -> String {
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions")
}
