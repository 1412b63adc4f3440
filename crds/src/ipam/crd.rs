//! The CustomResourceDefinitions of AddressPool and AddressBlock. Tests hold the schemas against the types key by key.

use serde_json::{Value, json};

use super::{CATEGORY, GROUP, VERSION};

mod block;
mod pool;

/// The definition of AddressBlock.
pub fn block_definition() -> Value {
    let names = json!({ "plural": super::block::PLURAL, "singular": "addressblock", "kind": super::block::KIND,
        "shortNames": ["ablock"], "categories": [CATEGORY] });
    definition(super::block::PLURAL, &names, json!({}), block::columns(), block::schema())
}

/// The definition of AddressPool.
pub fn pool_definition() -> Value {
    let names = json!({ "plural": super::pool::PLURAL, "singular": "addresspool", "kind": super::pool::KIND,
        "shortNames": ["apool"], "categories": [CATEGORY] });
    // Whoever may write `spec` does not thereby write what the leader says of it.
    definition(super::pool::PLURAL, &names, json!({ "status": {} }), pool::columns(), pool::schema())
}

fn definition(plural: &str, names: &Value, subresources: Value, columns: Value, schema: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": names,
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns,
                "subresources": subresources,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

fn column(name: &str, kind: &str, path: &str, description: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path, "description": description })
}

/// Text of a bounded length: the server must be able to tell what a rule of the schema costs.
fn text(most: u32, description: &str) -> Value {
    json!({ "type": "string", "maxLength": most, "description": description })
}

fn integer(least: i64, most: Option<i64>, description: &str) -> Value {
    let mut schema =
        json!({ "type": "integer", "format": "int64", "minimum": least, "description": description });
    if let (Some(most), Some(keys)) = (most, schema.as_object_mut()) {
        keys.insert("maximum".to_owned(), most.into());
    }
    schema
}

/// A schema with a default, which the server fills in.
fn default(mut schema: Value, value: impl Into<Value>) -> Value {
    if let Some(keys) = schema.as_object_mut() {
        keys.insert("default".to_owned(), value.into());
    }
    schema
}

fn object(required: &[&str], description: &str, properties: Value) -> Value {
    json!({ "type": "object", "description": description, "required": required, "properties": properties })
}

#[cfg(test)]
mod tests;
