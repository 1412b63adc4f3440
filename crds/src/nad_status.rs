//! What the controller tells on a definition: whether it is valid, and which pods use it.
//!
//! Columns of `kubectl get net-attach-def`, the messages of refusals and the promise that a network outlives its pods
//! all read these fields. Written by the controller alone, by way of the `status` subresource.

use serde::{Deserialize, Serialize};

/// On a definition, while pods use it: the object stays until the last of them has gone.
pub const IN_USE_FINALIZER: &str = "manifold.network/in-use";
/// On a definition without `config`: the configuration on the nodes that it stands for, where its name is another one.
pub const CONFIGURATION: &str = "manifold.network/configuration";
/// How many pods are named. The count has no limit.
pub const NAMED_PODS: usize = 10;
/// How many pods without a status are listed at once; more follow when these have theirs.
pub const REPUBLISHED_PODS: usize = 100;

/// `status` of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NadStatus {
    /// The `metadata.generation` that everything below is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The plugin types in their order, joined by `+`; `node` where the configuration lies on the nodes.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many pods use it.
    pub pods: u64,
    /// The first of them by name, as `namespace/name`; at most [`NAMED_PODS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_names: Vec<String>,
    /// What holds of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Only on the definition of the default network: pods that run without a status. Their nodes publish it again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub republish: Vec<Unpublished>,
}

/// A pod that runs and asked for networks, and has no network-status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unpublished {
    /// Of the pod.
    pub uid: String,
    /// Of the pod.
    pub namespace: String,
    /// Of the pod.
    pub name: String,
}

/// A condition as Kubernetes has it (`metav1.Condition`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Valid`, `InUse` and whatever else the controller knows.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word, for programs.
    pub reason: String,
    /// One sentence, for people.
    #[serde(default)]
    pub message: String,
    /// RFC 3339, when `status` changed last.
    pub last_transition_time: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl NadStatus {
    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }
}
