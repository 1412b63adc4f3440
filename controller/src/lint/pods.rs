//! Pods, and what makes pods: where their annotations stand.

use manifold_crds::keys;
use serde_json::Value;

/// The pod's metadata in an object of that kind.
fn template(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "PodTemplate" => Some("/template"),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            Some("/spec/template")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

pub(super) fn has_pods(kind: &str) -> bool {
    template(kind).is_some()
}

/// What the pods of an object ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) networks: Option<String>,
    pub(super) default_network: Option<String>,
}

/// `None` where they ask for nothing.
pub(super) fn asked(kind: &str, object: &Value) -> Option<Asked> {
    let annotations = object.pointer(&format!("{}/metadata/annotations", template(kind)?))?;
    let text = |key: &str| annotations.get(key).and_then(Value::as_str).map(str::to_owned);
    let asked = Asked { networks: text(keys::NETWORKS), default_network: text(keys::DEFAULT_NETWORK) };
    (asked.networks.is_some() || asked.default_network.is_some()).then_some(asked)
}
