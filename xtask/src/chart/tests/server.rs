//! What is rendered, given to a real API server that stores nothing: every field is known, every expression compiles.

use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::helm::Generation;
use serde_json::{Value, json};

use super::{files, helm};

/// The server knows no PodMonitor: that is the Prometheus operator's.
const FOREIGN: &str = "PodMonitor";

#[track_caller]
fn taken(namespace: &str, values: &[&str]) {
    let api = ApiServer::shared().unwrap();
    api.ensure_namespace(namespace).unwrap();
    let rendered = helm(Generation::Four).template(namespace, values, &[]).unwrap().unwrap();
    let objects: Vec<Value> =
        files::objects(&rendered).unwrap().into_iter().filter(|o| o["kind"] != FOREIGN).collect();
    assert!(objects.len() > 40, "{}", objects.len());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let said = api.kubectl(&words, &list).unwrap();
    assert!(said.status.success(), "{values:?}: {}", String::from_utf8_lossy(&said.stderr));
    let warned = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!warned.contains("Warning"), "{warned}");
}

#[test]
fn the_api_server_takes_everything_that_default_values_render() {
    taken("manifold-system", &["namespace.create=true"]);
}

#[test]
fn the_api_server_takes_every_option_in_another_namespace() {
    taken(
        "nets",
        &[
            "dhcp.enabled=true",
            "node.podAnnotations=false",
            "policies.statusOnCreate=\"warn\"",
            "networkPolicy.egress=true",
            "admission.clientAuthority=\"webhook-clients\"",
            "networkPolicy.metricsFrom=[{\"namespaceSelector\": {\"matchLabels\": {\"a\": \"b\"}}}]",
            "podMonitor.enabled=true",
            "image.pullSecrets=[\"pull\"]",
            "cluster.tolerations=[{\"key\": \"a\", \"operator\": \"Exists\"}]",
            "cluster.nodeSelector={\"a\": \"b\"}",
            "cluster.disruptionBudget.maxUnavailable=\"50%\"",
            "node.nodeSelector={\"a\": \"b\"}",
            "node.extraCapabilities=[\"DAC_OVERRIDE\"]",
            "defaultNetwork.source=\"existing\"",
            "defaultNetwork.configuration=\"cbr0\"",
        ],
    );
}

// Shows part of: COMPAT-30
#[test]
fn the_api_server_takes_what_each_platform_renders() {
    for platform in ["k3s", "rke2", "microk8s", "k0s", "gke", "openshift-like"] {
        let label = "node.seLinuxOptions={\"type\": \"spc_t\", \"level\": \"s0\"}";
        taken("nets", &[&format!("platform={platform:?}"), "dhcp.enabled=true", label]);
    }
}

/// `kubectl apply -f deploy/manifold.yaml`.
#[test]
fn the_plain_manifests_are_applied_as_they_stand() {
    let api = ApiServer::shared().unwrap();
    api.ensure_namespace("manifold-system").unwrap();
    for file in ["deploy/manifold.yaml", "deploy/uninstall.yaml", "deploy/dhcp.yaml"] {
        let path = crate::build::root().join(file);
        let words = ["apply", "--dry-run=server", "--validate=strict", "-f", path.to_str().unwrap()];
        let said = api.kubectl(&words, "").unwrap();
        assert!(said.status.success(), "{file}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// `policies.statusOnCreate=warn`, as the server has it. What is already let in stays as it is: only nodes write it.
#[test]
fn a_restored_pods_status_is_warned_of_at_creation_and_refused_later_where_that_is_asked_for() {
    let api = ApiServer::start().unwrap();
    let values = ["policies.statusOnCreate=\"warn\""];
    let rendered = helm(Generation::Four).template("manifold-system", &values, &[]).unwrap().unwrap();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let objects: Vec<Value> = files::objects(&rendered).unwrap();
    let ours = objects.into_iter().filter(|o| name(o).starts_with("manifold-status-not-for-users"));
    api.apply(&json!({"apiVersion": "v1", "kind": "List", "items": ours.collect::<Vec<_>>()}).to_string())
        .unwrap();
    let namespace = api.namespace("restored").unwrap();
    let pods = format!("/api/v1/namespaces/{}/pods", namespace.name());
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace.name(), "annotations": {STATUS: "[]"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "one", "image": "one"}]},
        })
    };
    api.client().send("POST", &pods, &pod("first")).unwrap();
    let change = |value: &str| {
        let patch = json!({"metadata": {"annotations": {STATUS: value}}}).to_string();
        let path = format!("{pods}/first");
        api.client().call("PATCH", &path, "application/merge-patch+json", patch.as_bytes()).unwrap()
    };
    // A policy has no effect in the first moments.
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut count = 0;
    while change(&format!("[{count}]")).ok() {
        assert!(Instant::now() < deadline, "a change of the status is never refused");
        count += 1;
        thread::sleep(Duration::from_millis(100));
    }
    let said = api.kubectl(&["create", "-f", "-"], &pod("second").to_string()).unwrap();
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{told}");
    assert!(told.contains("Warning") && told.contains(STATUS), "{told}");
}
