//! What is rendered, given to a real API server that stores nothing: every field is known, every expression compiles.

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
            "networkPolicy.enabled=true",
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
