//! The CustomResourceDefinition: the standard's resource, with the columns and the `status` that the controller fills.
//!
//! `yaml/network-attachment-definition.yaml` is this, printed; a test compares the two, and others hold the schema
//! against the types key by key. The schema of `spec` is the standard's and nothing else: other implementations share
//! this resource, and an object that is good for them must stay good here.

use serde_json::{Value, json};

use crate::{keys, nad_status};

pub(crate) mod columns;

/// The object to apply.
pub fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", keys::PLURAL, keys::GROUP) },
        "spec": {
            "group": keys::GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": keys::PLURAL,
                "singular": keys::SINGULAR,
                "kind": keys::KIND,
                "shortNames": keys::SHORT_NAMES,
            },
            "versions": [version()],
        },
    })
}

fn version() -> Value {
    json!({
        "name": keys::VERSION,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": columns::columns(),
        // Whoever may write `spec` does not thereby write what the controller says of it.
        "subresources": { "status": {} },
        "schema": { "openAPIV3Schema": schema() },
    })
}

fn schema() -> Value {
    json!({
        "type": "object",
        "description": "A network that pods can be attached to beside their default one. A pod asks for it by name in its \
                        annotation `k8s.v1.cni.cncf.io/networks`.",
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec(),
            "status": status(),
        },
    })
}

fn spec() -> Value {
    json!({
        "type": "object",
        "description": "What the network is.",
        "properties": {
            "config": {
                "type": "string",
                "description": "The network's CNI configuration, as JSON text: one plugin ({\"type\": \"macvlan\", \"master\": \
                                \"eth1\", \"ipam\": {...}}) or a chain of them ({\"plugins\": [...]}). Without it, the \
                                network is the configuration on the node that has this object's name. Check a file \
                                before you apply it: manifold-controller lint FILE",
            },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What the controller reports about the network. Only the controller writes it.",
        "properties": {
            "observedGeneration": integer("The metadata.generation that this status describes."),
            "type": text("The plugin types in their order, joined by `+`; `node` where the configuration is on the nodes."),
            "pods": integer("How many pods use the network. While there are any, it cannot be changed, and once deleted it stays until they have gone."),
            "podNames": {
                "type": "array",
                "description": format!("The first {} of these pods by name, as namespace/name.", nad_status::NAMED_PODS),
                "items": { "type": "string" },
            },
            "conditions": {
                "type": "array",
                "description": "`Valid` says whether pods can be attached by this configuration, `InUse` whether any are.",
                "items": condition(),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
            "republish": {
                "type": "array",
                "description": "On the default network only: pods that run and have no network-status annotation yet.",
                "maxItems": nad_status::REPUBLISHED_PODS,
                "items": {
                    "type": "object",
                    "required": ["uid", "namespace", "name"],
                    "properties": {
                        "uid": { "type": "string" },
                        "namespace": { "type": "string" },
                        "name": { "type": "string" },
                    },
                },
            },
        },
    })
}

pub(crate) fn condition() -> Value {
    json!({
        "type": "object",
        "required": ["type", "status", "reason", "lastTransitionTime"],
        "properties": {
            "type": text("What it is about."),
            "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
            "reason": text("Why, in one word."),
            "message": text("Why, in a sentence: where it is wrong and how to fix it."),
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When `status` changed last.",
            },
            "observedGeneration": integer("The metadata.generation that this is about."),
        },
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn integer(description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "description": description })
}

#[cfg(test)]
mod tests;
