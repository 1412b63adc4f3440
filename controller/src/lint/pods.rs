//! Pods, and what makes pods: what they ask for.

use manifold_crds::keys;
use serde_json::Value;

use crate::workload;

/// What the pods of an object ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) networks: Option<String>,
    pub(super) default_network: Option<String>,
}

/// `None` where they ask for nothing.
pub(super) fn asked(kind: &str, object: &Value) -> Option<Asked> {
    let annotations = workload::pod_metadata(kind, object)?.get("annotations")?;
    let text = |key: &str| annotations.get(key).and_then(Value::as_str).map(str::to_owned);
    let asked = Asked { networks: text(keys::NETWORKS), default_network: text(keys::DEFAULT_NETWORK) };
    (asked.networks.is_some() || asked.default_network.is_some()).then_some(asked)
}
