//! One change, said in every way that the API server understands.

use serde_json::{Value, json};

/// How a change is sent. The change itself is always written as a merge patch (RFC 7386).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Create,
    Put,
    Merge,
    Strategic,
    Json,
    Apply,
    Delete,
}

/// All ways to change a pod that exists.
pub(crate) const WAYS: [How; 5] = [How::Merge, How::Strategic, How::Json, How::Apply, How::Put];
/// All ways to change an object of a custom resource.
pub(crate) const CUSTOM: [How; 4] = [How::Merge, How::Json, How::Apply, How::Put];

impl How {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            _ => "PATCH",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
            _ => "application/json",
        }
    }

    pub(crate) fn query(self) -> &'static str {
        match self {
            Self::Apply => "?fieldManager=test&force=true",
            Self::Delete => "?gracePeriodSeconds=0",
            _ => "",
        }
    }

    /// The body that makes `change` of `current`.
    pub(crate) fn body(self, current: &Value, change: &Value) -> Value {
        match self {
            Self::Create | Self::Merge | Self::Strategic | Self::Delete => change.clone(),
            Self::Json => {
                let mut operations = Vec::new();
                operate(current, change, "", &mut operations);
                Value::Array(operations)
            }
            Self::Put => merged(current, change),
            Self::Apply => {
                let identity = json!({
                    "apiVersion": current["apiVersion"], "kind": current["kind"],
                    "metadata": {"name": current["metadata"]["name"]},
                });
                merged(&identity, change)
            }
        }
    }
}

fn operate(current: &Value, change: &Value, at: &str, operations: &mut Vec<Value>) {
    for (key, value) in change.as_object().unwrap() {
        let path = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (current.get(key), value) {
            (Some(_), Value::Null) => operations.push(json!({"op": "remove", "path": path})),
            (None, Value::Null) => {}
            (Some(Value::Object(_)), Value::Object(_)) => operate(&current[key], value, &path, operations),
            _ => operations.push(json!({"op": "add", "path": path, "value": value})),
        }
    }
}

pub(crate) fn merged(current: &Value, change: &Value) -> Value {
    let Value::Object(changes) = change else { return change.clone() };
    let mut result = current.as_object().cloned().unwrap_or_default();
    for (key, value) in changes {
        if value.is_null() {
            result.remove(key);
        } else {
            let before = result.get(key).cloned().unwrap_or_default();
            result.insert(key.clone(), merged(&before, value));
        }
    }
    Value::Object(result)
}

/// Whether the object says what the change says.
pub(crate) fn holds(object: &Value, change: &Value) -> bool {
    match change {
        Value::Null => object.is_null(),
        Value::Object(changes) => changes.iter().all(|(key, value)| holds(&object[key], value)),
        other => object == other,
    }
}
