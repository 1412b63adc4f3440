//! The CustomResourceDefinition, from the same words the types are made of.
//!
//! `yaml/network-attachment-definition.yaml` is this, printed; a test compares the two. Columns and `status` have their
//! own place here when the controller fills them.

use serde_json::{Value, json};

use crate::keys;

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
                "shortNames": [keys::SHORT_NAME],
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
        "schema": { "openAPIV3Schema": schema() },
    })
}

/// The standard's schema and nothing else: other implementations share this resource.
fn schema() -> Value {
    json!({
        "type": "object",
        "description": "A network that pods can be attached to beside their default one.",
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": {
                "type": "object",
                "properties": {
                    "config": {
                        "type": "string",
                        "description": "A CNI configuration or configuration list, as JSON. Without it, the configuration \
                                        on the node that has this object's name is used.",
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nad::Spec;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/yaml/network-attachment-definition.yaml");

    /// `MANIFOLD_WRITE=1` writes the file instead of comparing it.
    #[test]
    fn the_file_is_what_the_types_say() {
        let made = format!("---\n{}", serde_yaml::to_string(&definition()).unwrap());
        if std::env::var_os("MANIFOLD_WRITE").is_some() {
            std::fs::write(FILE, &made).unwrap();
        }
        let stored = std::fs::read_to_string(FILE).unwrap();
        assert_eq!(stored, made, "run this test with MANIFOLD_WRITE=1 and commit the file");
    }

    // Proves: NPWG-3.1-1
    #[test]
    fn its_names_are_the_standards() {
        let crd = definition();
        let at = |pointer: &str| crd.pointer(pointer).unwrap().clone();
        assert_eq!(at("/metadata/name"), "network-attachment-definitions.k8s.cni.cncf.io");
        assert_eq!(at("/spec/group"), "k8s.cni.cncf.io");
        assert_eq!(at("/spec/scope"), "Namespaced");
        assert_eq!(at("/spec/names/kind"), "NetworkAttachmentDefinition");
        assert_eq!(at("/spec/names/plural"), "network-attachment-definitions");
        assert_eq!(at("/spec/names/singular"), "network-attachment-definition");
        assert_eq!(at("/spec/names/shortNames"), json!(["net-attach-def"]));
        assert_eq!(at("/spec/versions/0/name"), "v1");
    }

    // Proves: NPWG-3.1-2
    #[test]
    fn the_schema_has_the_keys_of_the_type() {
        let crd = definition();
        let properties =
            crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
        let of_type = serde_json::to_value(Spec { config: Some(String::new()) }).unwrap();
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(properties), keys(&of_type));
        assert_eq!(properties.pointer("/config/type").unwrap(), "string");
        assert_eq!(crd.pointer("/spec/versions/0/served").unwrap(), true);
        assert_eq!(crd.pointer("/spec/versions/0/storage").unwrap(), true);
    }
}
