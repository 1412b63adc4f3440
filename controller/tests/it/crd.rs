//! The CRD as users meet it: what `kubectl` explains and lists, and what the API server takes.

use std::time::{Duration, Instant};

use manifold_crds::{NadStatus, Unpublished, keys, nad_status::Condition};
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use crate::shared;

const DEFINITIONS: &str = "network-attachment-definitions";
/// However busy the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the API server tells of a resource (its short names, its schema) follows the resource a moment later.
fn kubectl(arguments: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = ApiServer::shared().unwrap().kubectl(arguments, "").unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return said;
        }
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{arguments:?}: {said}{why}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn put_status(namespace: &str, name: &str, status: &NadStatus) -> anyhow::Result<Value> {
    let client = ApiServer::shared().unwrap().client();
    let path = format!("/apis/{}/namespaces/{namespace}/{DEFINITIONS}/{name}", keys::API_VERSION);
    let mut object = client.get(&path)?.json()?;
    object["status"] = serde_json::to_value(status)?;
    // What `spec` a status update carries does not count.
    object["spec"]["config"] = "changed".into();
    client.send("PUT", &format!("{path}/status"), &object)
}

fn status(valid: &str) -> NadStatus {
    let valid = Condition {
        kind: "Valid".into(),
        status: valid.into(),
        reason: "Checked".into(),
        message: String::new(),
        last_transition_time: "2026-11-21T00:00:00Z".into(),
        observed_generation: Some(1),
    };
    let unpublished = Unpublished { uid: "u".into(), namespace: "shop".into(), name: "cart".into() };
    NadStatus {
        observed_generation: Some(1),
        kind: Some("macvlan+tuning".into()),
        pods: 12,
        pod_names: vec!["shop/cart".into()],
        conditions: vec![valid],
        republish: vec![unpublished],
    }
}

#[test]
fn kubectl_lists_type_pods_valid_and_age_under_both_short_names() {
    let (server, _turn) = shared::alone();
    let namespace = server.namespace("columns").unwrap();
    server.definition(namespace.name(), "left", r#"{"type": "macvlan"}"#).unwrap();
    let stored = put_status(namespace.name(), "left", &status("True")).unwrap();
    assert_eq!(stored["spec"]["config"], r#"{"type": "macvlan"}"#);
    let read: NadStatus = serde_json::from_value(stored["status"].clone()).unwrap();
    assert_eq!(read, status("True"), "the server dropped a field that the schema lacks");
    for name in ["net-attach-def", "nad", DEFINITIONS] {
        let listed = kubectl(&["get", name, "-n", namespace.name()]);
        let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "TYPE", "PODS", "VALID", "AGE"], "{listed}");
        assert_eq!(rows[1][..4], ["left", "macvlan+tuning", "12", "True"], "{listed}");
    }
}

#[test]
fn kubectl_explains_what_config_is() {
    let told = kubectl(&["explain", "net-attach-def.spec"]);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "CNI configuration, as JSON text",
        "config <string>",
        "manifold-controller lint",
        "this object's name",
    ] {
        assert!(words.contains(part), "`{part}` is missing in:\n{told}");
    }
    let told = kubectl(&["explain", "nad.status", "--recursive"]);
    for field in ["pods", "podNames", "conditions", "republish", "observedGeneration"] {
        assert!(told.contains(field), "`{field}` is missing in:\n{told}");
    }
}

// Proves: NPWG-3.2-1
#[test]
fn objects_of_the_standard_are_taken_as_before() {
    let server = ApiServer::shared().unwrap();
    let namespace = server.namespace("standard").unwrap();
    let path = format!("/apis/{}/namespaces/{}/{DEFINITIONS}", keys::API_VERSION, namespace.name());
    let object = |name: &str, rest: Value| {
        let mut object =
            json!({"apiVersion": keys::API_VERSION, "kind": keys::KIND, "metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    for (name, rest) in [
        ("no-spec", json!({})),
        ("empty-spec", json!({"spec": {}})),
        ("empty-config", json!({"spec": {"config": ""}})),
        ("config", json!({"spec": {"config": "{\"cniVersion\": \"0.3.0\", \"type\": \"macvlan\"}"}})),
    ] {
        server.client().send("POST", &path, &object(name, rest)).unwrap();
    }
    let refused = server.client().send(
        "POST",
        &path,
        &object("object", json!({"spec": {"config": {"type": "bridge"}}})),
    );
    assert!(refused.unwrap_err().to_string().contains("must be of type string"));
}

#[test]
fn a_status_of_another_shape_is_refused() {
    let (server, _turn) = shared::alone();
    let namespace = server.namespace("shape").unwrap();
    server.definition(namespace.name(), "left", "{}").unwrap();
    let refused = put_status(namespace.name(), "left", &status("Perhaps")).unwrap_err();
    assert!(format!("{refused:#}").contains("Unsupported value"), "{refused:#}");
}
