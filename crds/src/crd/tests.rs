use std::collections::BTreeSet;

use super::*;
use crate::nad::Spec;
use crate::nad_status::{Condition, NadStatus, Unpublished};

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

#[track_caller]
fn at(pointer: &str) -> Value {
    definition().pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")).clone()
}

// Proves: NPWG-3.1-1
#[test]
fn its_names_are_the_standards() {
    assert_eq!(at("/metadata/name"), "network-attachment-definitions.k8s.cni.cncf.io");
    assert_eq!(at("/spec/group"), "k8s.cni.cncf.io");
    assert_eq!(at("/spec/scope"), "Namespaced");
    assert_eq!(at("/spec/names/kind"), "NetworkAttachmentDefinition");
    assert_eq!(at("/spec/names/plural"), "network-attachment-definitions");
    assert_eq!(at("/spec/names/singular"), "network-attachment-definition");
    assert_eq!(at("/spec/names/shortNames"), json!(["net-attach-def", "nad"]));
    assert_eq!(at("/spec/versions/0/name"), "v1");
    assert_eq!(at("/spec/versions/0/served"), true);
    assert_eq!(at("/spec/versions/0/storage"), true);
}

/// The keys of a schema and of a value of the type with every field set, down to the last level.
#[track_caller]
fn same_keys(schema: &Value, value: &Value, place: &str) {
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    match value {
        Value::Object(fields) => {
            let properties = &schema["properties"];
            assert_eq!(keys(properties), keys(value), "at {place}");
            for (key, field) in fields {
                same_keys(&properties[key], field, &format!("{place}/{key}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(schema["type"], "array", "at {place}");
            same_keys(&schema["items"], items.first().unwrap(), &format!("{place}/0"));
        }
        Value::String(_) => assert_eq!(schema["type"], "string", "at {place}"),
        Value::Number(_) => assert_eq!(schema["type"], "integer", "at {place}"),
        other => panic!("{other} at {place}"),
    }
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";

// Proves: NPWG-3.1-2
#[test]
fn the_schema_has_the_keys_of_the_type() {
    let spec = serde_json::to_value(Spec { config: Some(String::new()) }).unwrap();
    same_keys(&at(&format!("{SCHEMA}/spec")), &spec, "spec");
    // An object without `spec`, or with an empty one, is as good as it was.
    assert!(at(&format!("{SCHEMA}/spec")).get("required").is_none());
}

#[test]
fn the_schema_of_status_has_the_keys_of_its_type() {
    let (uid, namespace, name) = ("u".to_owned(), "n".to_owned(), "p".to_owned());
    let condition = Condition {
        kind: "Valid".into(),
        status: "True".into(),
        reason: "Checked".into(),
        message: "m".into(),
        last_transition_time: "2026-11-21T00:00:00Z".into(),
        observed_generation: Some(1),
    };
    let status = NadStatus {
        observed_generation: Some(1),
        kind: Some("bridge".into()),
        pods: 1,
        pod_names: vec!["a/b".into()],
        conditions: vec![condition],
        republish: vec![Unpublished { uid, namespace, name }],
    };
    same_keys(&at(&format!("{SCHEMA}/status")), &serde_json::to_value(status).unwrap(), "status");
}

#[test]
fn the_columns_show_what_the_status_has() {
    let names: Vec<Value> = at("/spec/versions/0/additionalPrinterColumns")
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(names, ["Type", "Pods", "Valid", "Age"]);
    assert_eq!(at("/spec/versions/0/subresources"), json!({ "status": {} }));
}
