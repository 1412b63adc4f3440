//! The manifests of the controller, applied as they stand, but for what only a real cluster can run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::project;

use super::USER;

/// Where the controller lives.
pub const NAMESPACE: &str = "manifold-system";

/// In the order in which they are needed.
const FOLDERS: [&str; 3] = ["deploy/cluster", "deploy/rbac", "deploy/policies"];
/// The replicas are processes of the bed, with a configuration and a Service of its own.
const NOT_HERE: [&str; 5] =
    ["Deployment", "ConfigMap", "Service", "PodDisruptionBudget", "ValidatingWebhookConfiguration"];
const WEBHOOK: &str = "deploy/cluster/webhook.yaml";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// Namespace, accounts, rights and policies; what is there already is left or brought to what the files say.
pub fn install(api: &ApiServer) -> anyhow::Result<()> {
    api.ensure_namespace(NAMESPACE)?;
    let mut objects = Vec::new();
    for file in FOLDERS.iter().map(|folder| files(folder)).collect::<anyhow::Result<Vec<_>>>()?.concat() {
        objects.extend(documents(&file)?);
    }
    objects.retain(|object| !NOT_HERE.contains(&kind(object)));
    if objects.is_empty() {
        return Ok(());
    }
    api.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())
}

/// The webhook's configuration, with a Service that leads to this port on loopback.
pub(super) fn webhook(api: &ApiServer, port: u16) -> anyhow::Result<()> {
    let mut objects: Vec<Value> = Vec::new();
    for mut object in documents(&project::root().join(WEBHOOK))? {
        if kind(&object) != "ValidatingWebhookConfiguration" {
            continue;
        }
        let hooks = object.get_mut("webhooks").and_then(Value::as_array_mut);
        for hook in hooks.with_context(|| format!("`{WEBHOOK}` has no webhooks"))? {
            let service = hook.pointer_mut("/clientConfig/service").and_then(Value::as_object_mut);
            let service = service.with_context(|| format!("a webhook of `{WEBHOOK}` names no service"))?;
            service.insert("port".into(), port.into());
            let name = service.get("name").cloned().unwrap_or_default();
            // The API server takes such a name as it is, and the port from the webhook's configuration.
            objects.push(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            }));
        }
        objects.push(object);
    }
    objects.dedup();
    api.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())
}

/// Whether the API server grants what the manifests say, which it hears of a moment after they are applied: one right of the
/// whole cluster, one of the namespace. A replica that was refused something in that moment would be counted as denied.
pub(super) fn rights_hold(api: &ApiServer) -> anyhow::Result<bool> {
    let everywhere = json!({"resource": "pods", "verb": "list"});
    let here = json!({"namespace": NAMESPACE, "group": "coordination.k8s.io", "resource": "leases", "verb": "create"});
    for wanted in [everywhere, here] {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": USER, "resourceAttributes": wanted}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = api.client().send("POST", path, &review)?;
        if answer.pointer("/status/allowed") != Some(&Value::Bool(true)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every webhook of ours has a CA, without which the API server does not ask it.
pub(super) fn webhook_has_ca(api: &ApiServer) -> anyhow::Result<bool> {
    let ours: Vec<Value> = documents(&project::root().join(WEBHOOK))?;
    for name in ours
        .iter()
        .filter(|o| kind(o) == "ValidatingWebhookConfiguration")
        .filter_map(|o| o.pointer("/metadata/name").and_then(Value::as_str))
    {
        let answer = api.client().get(&format!("{WEBHOOKS}/{name}"))?.json()?;
        let hooks = answer.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_default();
        let has_ca = |hook: &Value| {
            hook.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_some_and(|ca| !ca.is_empty())
        };
        if hooks.is_empty() || !hooks.iter().all(has_ca) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The YAML files of a folder of the project, by name; none where there is no such folder.
fn files(folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = project::root().join(folder);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    found.sort();
    Ok(found)
}

fn documents(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let parsed = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let all: Result<Vec<Value>, _> = parsed.collect();
    let all = all.with_context(|| format!("`{}` is not YAML", file.display()))?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}
