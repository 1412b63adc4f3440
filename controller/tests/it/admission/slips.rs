//! What is let in and has no effect: whoever writes it is warned.

use http::Method;
use serde_json::{Value, json};

use super::bed::{Outcome, bed, definition, definitions, pod, pods};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const PLAIN: &str = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;

fn create(namespace: &str, object: &Value) -> Outcome {
    bed().dry_run(&Method::POST, &pods(namespace), Some(object))
}

/// The same definition in a namespace of a lenient and of a strict webhook, once.
fn networks() {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        for namespace in ["other", "strict"] {
            bed().put_definition(namespace, "left.v2", Some(PLAIN));
        }
    });
}

// Proves: COMPAT-1, COMPAT-2
#[test]
fn what_a_selection_has_without_effect_is_a_warning_and_a_strict_refusal() {
    networks();
    for (element, words) in [
        (json!({"gateway": ["10.1.1.1"]}), "key `gateway`: there is no such key, so it has no effect"),
        (json!({"mac": ""}), "key `mac`: it is empty, so it counts as absent"),
        (json!({"ips": []}), "key `ips`: it is empty, so it counts as absent"),
        (json!({"portMappings": []}), "key `portMappings`: it is empty"),
        (json!({"interface": ""}), "key `interface`: it is empty"),
    ] {
        let mut element = element;
        element["name"] = json!("left.v2");
        let object = pod("cart", &[(NETWORKS, &json!([element]).to_string())]);
        bed().allowed(&create("other", &object), &[words]);
        bed().refused(&create("strict", &object), &[words]);
    }
}

// Proves: COMPAT-8
#[test]
fn a_network_may_have_dots_in_its_name() {
    networks();
    bed().allowed(&create("other", &pod("cart", &[(NETWORKS, "left.v2@storage0")])), &[]);
}

// Proves: COMPAT-9
#[test]
fn a_misspelt_annotation_is_a_warning() {
    networks();
    for key in [
        "k8s.v1.cni.cncf.io/network",
        "kubernetes.v1.cni.cncf.io/networks",
        "k8s.v1.cni.cncf.io/default-network",
    ] {
        let outcome = create("other", &pod("cart", &[(key, "left.v2")]));
        bed().allowed(&outcome, &[&format!("the annotation `{key}` is unknown"), "did you mean `"]);
    }
    let mut labelled = pod("cart", &[]);
    labelled["metadata"]["labels"] = json!({NETWORKS: "left.v2"});
    bed().allowed(&create("other", &labelled), &["is a label here"]);
    let both = pod("cart", &[(NETWORKS, "left.v2"), ("k8s.v1.cni.cncf.io/network", "left.v2")]);
    bed().allowed(&create("other", &both), &["did you mean"]);
    bed().allowed(&create("other", &pod("cart", &[("example.com/networks", "x")])), &[]);
    let mut misspelt = definition("vf", Some(PLAIN));
    misspelt["metadata"]["annotations"] = json!({"k8s.v1.cni.cncf.io/resourcename": "a.b/c"});
    let outcome = bed().dry_run(&Method::POST, &definitions("other"), Some(&misspelt));
    bed().allowed(&outcome, &["did you mean `k8s.v1.cni.cncf.io/resourceName`?"]);
}

fn workload(kind: &str, api: &str, own: bool, of_pods: bool) -> Value {
    let annotations = |on: bool| if on { json!({NETWORKS: "left.v2"}) } else { json!({}) };
    let template = json!({
        "metadata": {"labels": {"a": "b"}, "annotations": annotations(of_pods)},
        "spec": {"restartPolicy": if api == "batch/v1" { "Never" } else { "Always" },
                 "containers": [{"name": "main", "image": "none"}]},
    });
    let mut spec = json!({"template": template});
    if api == "apps/v1" {
        spec["selector"] = json!({"matchLabels": {"a": "b"}});
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("a");
    }
    if kind == "CronJob" {
        spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": spec}});
    }
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": "w", "annotations": annotations(own)}, "spec": spec})
}

// Proves: COMPAT-9
#[test]
fn an_annotation_on_a_workload_itself_is_a_warning() {
    for (kind, api, plural) in [
        ("Deployment", "apps/v1", "deployments"),
        ("StatefulSet", "apps/v1", "statefulsets"),
        ("DaemonSet", "apps/v1", "daemonsets"),
        ("ReplicaSet", "apps/v1", "replicasets"),
        ("Job", "batch/v1", "jobs"),
        ("CronJob", "batch/v1", "cronjobs"),
    ] {
        let path = format!("/apis/{api}/namespaces/other/{plural}");
        let create = |object: &Value| bed().dry_run(&Method::POST, &path, Some(object));
        bed().allowed(
            &create(&workload(kind, api, true, false)),
            &[&format!("on the {kind} itself"), "template.metadata"],
        );
        bed().allowed(&create(&workload(kind, api, true, true)), &[]);
        bed().allowed(&create(&workload(kind, api, false, true)), &[]);
        let mut owned = workload(kind, api, true, false);
        owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "0f1e2d3c-0000-4000-8000-0123456789ab"}]);
        bed().allowed(&create(&owned), &[]);
    }
}

// Proves: COMPAT-9
#[test]
fn a_definition_whose_config_was_dropped_is_told() {
    let mut object = definition("lost", None);
    object["spec"] = json!({"Config": PLAIN});
    let create = |object: &Value| bed().dry_run(&Method::POST, &definitions("other"), Some(object));
    // The API server has a word of its own for the key where the client asks for it.
    let outcome = create(&object);
    assert!(
        outcome.allowed() && outcome.warnings.iter().any(|w| w.contains("has no `spec.config`")),
        "{outcome:?}"
    );
    object.as_object_mut().unwrap().remove("spec");
    bed().allowed(&create(&object), &[]);
    let mut named = definition("lost", None);
    named["metadata"]["annotations"] = json!({"manifold.network/configuration": "k8s-pod-network"});
    bed().allowed(&create(&named), &[]);
}
