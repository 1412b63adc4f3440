//! The objects that attempts are about, as they are made anew.

use serde_json::{Value, json};

use crate::attempt::{IN_USE, PLAIN, SELECTION};
use crate::bed::{Bed, NETWORKS, PODS};
use crate::identity::Who;
use crate::patch::merged;

pub(crate) fn annotations(map: Value) -> Value {
    json!({"metadata": {"annotations": map}})
}

/// A pod that asks for the network `right`, and its name.
pub(crate) fn pod(bed: &Bed, node: Option<&str>, more: &Value) -> String {
    let name = bed.fresh("pod");
    let fresh = new_pod(json!({"name": name, "annotations": {PLAIN: "0", SELECTION: "right"}}), node);
    bed.must(Who::Admin, "POST", PODS, "application/json", &merged(&fresh, more));
    name
}

pub(crate) fn new_pod(metadata: Value, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "nodeName": node, "automountServiceAccountToken": false,
            "containers": [{
                "name": "main", "image": "none", "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}},
            }],
        },
    })
}

pub(crate) fn network(bed: &Bed, in_use: bool, more: &Value) -> String {
    let name = bed.fresh("network");
    let finalizers = if in_use { vec![IN_USE] } else { vec![] };
    let fresh =
        new_network(json!({"name": name, "finalizers": finalizers, "annotations": {PLAIN: "0"}}), "{}");
    bed.must(Who::Admin, "POST", NETWORKS, "application/json", &merged(&fresh, more));
    name
}

pub(crate) fn new_network(metadata: Value, config: &str) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": metadata,
        "spec": {"config": config},
    })
}
