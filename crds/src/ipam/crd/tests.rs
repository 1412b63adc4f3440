use std::collections::BTreeSet;

use super::*;
use crate::ipam::pool::{PoolSpec, PoolStatus, RangeSpec, RouteSpec};
use crate::ipam::{BlockSpec, Mode};

/// `MANIFOLD_WRITE=1` writes the files instead of comparing them.
#[test]
fn the_files_are_what_the_types_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/yaml");
    for (name, definition) in [("address-block", block_definition()), ("address-pool", pool_definition())] {
        let file = format!("{folder}/{name}.yaml");
        let made = format!("---\n{}", serde_yaml::to_string(&definition).unwrap());
        if std::env::var_os("MANIFOLD_WRITE").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        let stored = std::fs::read_to_string(&file).unwrap();
        assert_eq!(stored, made, "run this test with MANIFOLD_WRITE=1 and commit the file");
    }
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";

#[track_caller]
fn at(definition: &Value, pointer: &str) -> Value {
    definition.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")).clone()
}

fn keys(v: &Value) -> BTreeSet<String> {
    v.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn both_are_of_the_cluster_and_have_their_own_names() {
    for (definition, plural, short) in
        [(block_definition(), "addressblocks", "ablock"), (pool_definition(), "addresspools", "apool")]
    {
        assert_eq!(at(&definition, "/metadata/name"), format!("{plural}.ipam.manifold.network"));
        assert_eq!(at(&definition, "/spec/scope"), "Cluster");
        assert_eq!(at(&definition, "/spec/names/shortNames"), json!([short]));
        assert_eq!(at(&definition, "/spec/names/categories"), json!(["manifold"]));
        assert_eq!(at(&definition, "/spec/versions/0/name"), "v1alpha1");
    }
}

/// Every key of a value of the type stands in the schema, with its kind; and the schema has no other keys.
#[track_caller]
fn same_keys(schema: &Value, value: &Value, place: &str) {
    let kind = match value {
        Value::Object(fields) => {
            assert_eq!(keys(&schema["properties"]), keys(value), "at {place}");
            for (key, field) in fields {
                same_keys(&schema["properties"][key], field, &format!("{place}/{key}"));
            }
            "object"
        }
        Value::Array(items) => {
            same_keys(&schema["items"], items.first().unwrap(), &format!("{place}/0"));
            "array"
        }
        Value::String(_) => "string",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Null => panic!("null at {place}"),
    };
    assert_eq!(schema["type"], kind, "at {place}");
}

#[test]
fn the_schema_of_a_pool_has_the_keys_of_its_types() {
    let range = RangeSpec { start: "a".into(), end: "b".into() };
    let spec = PoolSpec {
        ranges: vec![range.clone()],
        exclude: vec!["x".into()],
        fixed: vec![range],
        gateway: Some("g".into()),
        routes: vec![RouteSpec { dst: "d".into(), gw: Some("g".into()) }],
        ..PoolSpec::of_subnet("10.1.0.0/16")
    };
    let definition = pool_definition();
    same_keys(&at(&definition, &format!("{SCHEMA}/spec")), &serde_json::to_value(spec).unwrap(), "spec");
    let condition = crate::nad_status::Condition {
        kind: "Ready".into(),
        status: "True".into(),
        reason: "r".into(),
        message: "m".into(),
        last_transition_time: "2026-11-21T00:00:00Z".into(),
        observed_generation: Some(1),
    };
    let cidr: crate::ipam::BlockCidr = "10.1.7.16".parse().unwrap();
    let status = PoolStatus {
        observed_generation: Some(1),
        mode: Some(Mode::Blocks),
        networks: vec!["a/b".into()],
        open: vec![cidr],
        next: vec![cidr],
        conditions: vec![condition],
        ..PoolStatus::default()
    };
    same_keys(
        &at(&definition, &format!("{SCHEMA}/status")),
        &serde_json::to_value(status).unwrap(),
        "status",
    );
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_type() {
    let definition = pool_definition();
    let written = serde_json::to_value(PoolSpec::default()).unwrap();
    let properties = at(&definition, &format!("{SCHEMA}/spec/properties"));
    let mut seen = 0;
    for (key, schema) in properties.as_object().unwrap() {
        if let Some(default) = schema.get("default") {
            assert_eq!(written[key], *default, "{key}");
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
    let bare: PoolSpec = serde_json::from_value(json!({ "subnet": "10.1.0.0/16" })).unwrap();
    assert_eq!(bare, PoolSpec::of_subnet("10.1.0.0/16"));
}

/// With every field of either state. Both write the same keys, those of the one or of the other.
#[test]
fn the_schema_of_a_block_has_the_keys_of_its_types() {
    const STORE: &str = "0123456789abcdef0123456789abcdef";
    let held = json!({
        "domain": "default", "start": "10.1.7.16", "state": "Held",
        "holder": { "node": "n", "uid": "u", "store": STORE, "epoch": 1, "since": "s" },
        "recall": { "reason": "PoolShort", "since": "s" }, "withheld": { "7": { "pod": "a/b" } },
    });
    let shared = json!({ "domain": "default", "start": "10.1.7.16", "state": "Shared", "allocations": {
        "3": { "node": "n", "uid": "u", "store": STORE, "epoch": 1, "storeLost": true, "pod": "a/b", "interface": "net1", "since": "s" },
        "4": { "claim": { "namespace": "a", "name": "b", "uid": "c" } },
        "5": { "foreign": { "by": "a", "pod": "b", "id": "c" } },
    }});
    let definition = block_definition();
    let schema = at(&definition, &format!("{SCHEMA}/spec/properties"));
    let mut top = BTreeSet::new();
    for written in [&held, &shared] {
        let spec: BlockSpec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(spec).unwrap(), *written);
        top.extend(keys(written));
    }
    assert_eq!(keys(&schema), top);
    same_keys(&schema["holder"], &held["holder"], "holder");
    same_keys(&schema["recall"], &held["recall"], "recall");
    same_keys(&schema["withheld"]["additionalProperties"], &held["withheld"]["7"], "withheld");
    let allocation = &schema["allocations"]["additionalProperties"];
    let mut one = BTreeSet::new();
    for (offset, written) in shared["allocations"].as_object().unwrap() {
        one.extend(keys(written));
        for (key, value) in written.as_object().unwrap() {
            same_keys(&allocation["properties"][key], value, &format!("{offset}/{key}"));
        }
    }
    assert_eq!(keys(&allocation["properties"]), one);
}

/// The reasons and states of the schema are the ones that the type reads.
#[test]
fn the_words_of_the_schema_are_those_of_the_types() {
    use crate::ipam::{RecallReason, Sticky};
    let block = block_definition();
    let reasons = at(&block, &format!("{SCHEMA}/spec/properties/recall/properties/reason/enum"));
    let read: Vec<RecallReason> = serde_json::from_value(reasons.clone()).unwrap();
    assert_eq!((serde_json::to_value(&read).unwrap(), read.len()), (reasons, 4));
    let pool = pool_definition();
    let modes: Vec<Mode> =
        serde_json::from_value(at(&pool, &format!("{SCHEMA}/spec/properties/mode/enum"))).unwrap();
    assert_eq!(modes.len(), 3);
    let sticky: Vec<Sticky> =
        serde_json::from_value(at(&pool, &format!("{SCHEMA}/spec/properties/sticky/enum"))).unwrap();
    assert_eq!(sticky.len(), 2);
}
