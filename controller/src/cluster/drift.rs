//! Whether what is stored says what we want, and where it does not.
//!
//! The API server adds defaults of its own. They are taken away on both sides; then the two must be equal, so that a key which
//! somebody added is found like one that somebody changed.

use serde_json::Value;

/// Keys with the values that the server gives them where nothing is said.
const DEFAULTS: &[(&str, &str)] = &[
    // Policies and webhooks.
    ("scope", "\"*\""),
    ("matchPolicy", "\"Equivalent\""),
    ("failurePolicy", "\"Fail\""),
    ("port", "443"),
    // Definitions of resources.
    ("conversion", "{\"strategy\":\"None\"}"),
    ("preserveUnknownFields", "false"),
];

/// The first place, as a JSON path, at which the two differ in meaning.
pub fn place(wanted: &Value, stored: &Value) -> Option<String> {
    walk(wanted, stored, &mut Vec::new())
}

fn walk<'a>(wanted: &'a Value, stored: &'a Value, at: &mut Vec<String>) -> Option<String> {
    let same = match (wanted, stored) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            return keys.into_iter().find_map(|key| {
                let (our, their) = (told(key, ours.get(key)), told(key, theirs.get(key)));
                descend(format!(".{key}"), our, their, at)
            });
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            return pairs.find_map(|(i, (a, b))| descend(format!("[{i}]"), Some(a), Some(b), at));
        }
        _ => wanted == stored,
    };
    (!same).then(|| path(at))
}

fn descend(
    step: String,
    wanted: Option<&Value>,
    stored: Option<&Value>,
    at: &mut Vec<String>,
) -> Option<String> {
    at.push(step);
    let found = match (wanted, stored) {
        (None, None) => None,
        (Some(a), Some(b)) => walk(a, b, at),
        _ => Some(path(at)),
    };
    at.pop();
    found
}

/// A value that says more than its absence.
fn told<'a>(key: &str, value: Option<&'a Value>) -> Option<&'a Value> {
    let value = value?;
    let empty = match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let default = || DEFAULTS.iter().any(|(name, text)| *name == key && *value.to_string() == **text);
    (!empty && !default()).then_some(value)
}

fn path(at: &[String]) -> String {
    at.concat().trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(wanted: Value, stored: Value, expected: Option<&str>) {
        assert_eq!(place(&wanted, &stored).as_deref(), expected);
    }

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let wanted = json!({"rules": [{"operations": ["UPDATE"]}]});
        let stored = json!({
            "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {},
            "rules": [{"operations": ["UPDATE"], "scope": "*"}],
        });
        check(wanted, stored, None);
        check(json!({"service": {"name": "x"}}), json!({"service": {"name": "x", "port": 443}}), None);
    }

    #[test]
    fn what_somebody_changed_added_or_took_away_is_found_with_its_place() {
        let wanted = json!({"spec": {"validations": [{"expression": "a"}, {"expression": "b"}]}});
        let with = |change: &dyn Fn(&mut Value)| {
            let mut stored = wanted.clone();
            change(&mut stored);
            stored
        };
        check(
            wanted.clone(),
            with(&|v| v["spec"]["validations"][1]["expression"] = json!("true")),
            Some("spec.validations[1].expression"),
        );
        check(
            wanted.clone(),
            with(&|v| v["spec"]["matchConditions"] = json!([{"name": "none", "expression": "false"}])),
            Some("spec.matchConditions"),
        );
        check(
            wanted.clone(),
            with(&|v| v["spec"]["failurePolicy"] = json!("Ignore")),
            Some("spec.failurePolicy"),
        );
        check(
            wanted.clone(),
            with(&|v| drop(v["spec"]["validations"].as_array_mut().unwrap().pop())),
            Some("spec.validations"),
        );
    }
}
