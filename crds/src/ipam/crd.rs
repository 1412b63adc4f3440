//! The CustomResourceDefinitions of AddressPool and AddressBlock. Tests hold the schemas against the types key by key.

use serde_json::{Value, json};

use super::{CATEGORY, GROUP, VERSION};
use crate::crd::columns::column;

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

/// Text of a bounded length: the server must be able to tell what a rule of the schema costs.
fn text(most: u32, description: &str) -> Value {
    json!({ "type": "string", "maxLength": most, "description": description })
}

fn integer(least: i64, most: Option<i64>, description: &str) -> Value {
    let schema =
        json!({ "type": "integer", "format": "int64", "minimum": least, "description": description });
    match most {
        Some(most) => with(schema, "maximum", most),
        None => schema,
    }
}

/// A schema with one more key.
fn with(mut schema: Value, key: &str, value: impl Into<Value>) -> Value {
    if let Some(keys) = schema.as_object_mut() {
        keys.insert(key.to_owned(), value.into());
    }
    schema
}

/// A schema with a default, which the server fills in.
fn default(schema: Value, value: impl Into<Value>) -> Value {
    with(schema, "default", value)
}

/// A schema with rules in CEL.
fn validated(schema: Value, rules: Value) -> Value {
    with(schema, "x-kubernetes-validations", rules)
}

/// The name of a domain: a DNS label.
fn domain(description: &str) -> Value {
    json!({ "type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "description": description })
}

fn object(required: &[&str], description: &str, properties: Value) -> Value {
    let schema = json!({ "type": "object", "description": description, "properties": properties });
    // The API server drops an empty list, and what it stores must equal what the controller wants.
    if required.is_empty() { schema } else { with(schema, "required", required) }
}

#[cfg(test)]
mod tests;
