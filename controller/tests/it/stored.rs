//! What tests store at the API server, where it lies, and who uses what according to the stored objects alone.

use std::collections::BTreeMap;

use manifold_e2e::api_client::Session;
use serde_json::{Value, json};

pub(crate) const FINALIZER: &str = "manifold.network/in-use";
pub(crate) const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

pub(crate) fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

pub(crate) fn definitions(namespace: &str) -> String {
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions")
}

/// A definition that is valid; `mtu` makes one differ from another.
pub(crate) fn definition(name: &str, mtu: u64) -> Value {
    let config = json!({"cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "eth0", "mtu": mtu,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}]]}});
    json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name}, "spec": {"config": config.to_string()}})
}

/// A pod that nobody starts. Without a node it goes at once when it is deleted.
pub(crate) fn pod(name: &str, networks: &str, node: Option<&str>) -> Value {
    let annotations = if networks.is_empty() { json!({}) } else { json!({NETWORKS: networks}) };
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none"}]}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

/// One definition as it is stored, beside the pods that use it by what is stored of them.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) users: Vec<String>,
    object: Value,
}

impl Seen {
    pub(crate) fn has_finalizer(&self) -> bool {
        let finalizers = self.object.pointer("/metadata/finalizers").and_then(Value::as_array);
        finalizers.is_some_and(|all| all.iter().any(|f| f == FINALIZER))
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.object.pointer("/metadata/deletionTimestamp").is_some()
    }

    /// What is not as it has to be at rest.
    pub(crate) fn wrong(&self) -> Option<String> {
        let used = !self.users.is_empty();
        let status = self.object.get("status").cloned().unwrap_or_default();
        let named: Vec<&String> = self.users.iter().take(10).collect();
        let told = status.get("podNames").cloned().unwrap_or_else(|| json!([]));
        let about = status.get("observedGeneration");
        let why = if self.has_finalizer() != used {
            format!("finalizer: {}, pods: {}", self.has_finalizer(), self.users.len())
        } else if self.is_terminating() && !used {
            "deleted, used by nobody, and still there".into()
        } else if status.get("pods") != Some(&json!(self.users.len())) {
            format!("status.pods: {:?}, pods: {}", status.get("pods"), self.users.len())
        } else if told != json!(named) {
            format!("status.podNames: {told}, pods: {named:?}")
        } else if about != self.object.pointer("/metadata/generation") {
            format!("status is about generation {about:?}")
        } else {
            return None;
        };
        Some(format!("{}: {why}", self.name))
    }
}

/// All definitions of a namespace, and who uses them. The networks annotation is read as these tests write it: names of
/// the same namespace, separated by commas.
pub(crate) fn seen(session: &mut Session, namespace: &str) -> anyhow::Result<Vec<Seen>> {
    let items = |value: Value| value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in items(session.get(&pods(namespace))?.json()?) {
        let text = |at: &str| pod.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        if ["Succeeded", "Failed"].contains(&text("/status/phase").as_str()) {
            continue;
        }
        let networks = pod.pointer("/metadata/annotations").and_then(|all| all.get(NETWORKS)).cloned();
        let networks = networks.and_then(|n| n.as_str().map(str::to_owned)).unwrap_or_default();
        let mut names: Vec<&str> = networks.split(',').filter(|n| !n.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            users.entry(name.to_owned()).or_default().push(format!("{namespace}/{}", text("/metadata/name")));
        }
    }
    let definitions = items(session.get(&definitions(namespace))?.json()?).into_iter();
    Ok(definitions
        .map(|object| {
            let name =
                object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut users = users.remove(&name).unwrap_or_default();
            users.sort();
            Seen { name, users, object }
        })
        .collect())
}
