//! What `kubectl get net-attach-def` shows: which plugins, how many pods, whether it works, how old.

use serde_json::{Value, json};

pub(super) fn columns() -> Value {
    json!([
        column("Type", "string", ".status.type", "The plugins of the network"),
        column("Pods", "integer", ".status.pods", "How many pods use it"),
        column(
            "Valid",
            "string",
            ".status.conditions[?(@.type==\"Valid\")].status",
            "Whether pods can be attached to it"
        ),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it exists"),
    ])
}

/// A column of `kubectl get`.
pub(crate) fn column(name: &str, kind: &str, path: &str, description: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path, "description": description })
}
