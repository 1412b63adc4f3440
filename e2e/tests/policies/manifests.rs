//! The files of `deploy/`, as objects and where they go.

use std::fs;

use manifold_e2e::api_client::{Answer, ApiClient};
use manifold_e2e::project;
use serde::Deserialize;
use serde_json::Value;

/// Every document of every file of a folder, with the file's name.
pub(crate) fn read(folder: &str) -> Vec<(String, Value)> {
    let folder = project::root().join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let documents = |file: &std::path::PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let parse = |document| Value::deserialize(document).unwrap();
        serde_yaml::Deserializer::from_str(&text).map(move |d| (name.clone(), parse(d))).collect::<Vec<_>>()
    };
    files.iter().flat_map(documents).collect()
}

/// The CRD of definitions, as it is shipped.
pub(crate) fn definitions_crd() -> Value {
    let mut all = read("crds/yaml").into_iter().map(|(_, object)| object);
    all.find(|object| object["spec"]["group"] == "k8s.cni.cncf.io").unwrap()
}

/// The names of the policies that are shipped.
pub(crate) fn policies() -> Vec<String> {
    let all = read("deploy/policies").into_iter().map(|(_, object)| object);
    all.filter(|o| o["kind"] == "ValidatingAdmissionPolicy").map(|o| name(&o)).collect()
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_string()
}

/// Where an object of these kinds is read and written.
pub(crate) fn place(object: &Value) -> String {
    let (kind, version) = (object["kind"].as_str().unwrap(), object["apiVersion"].as_str().unwrap());
    let plural = match kind {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_string(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let api = if version == "v1" { "/api/v1".to_string() } else { format!("/apis/{version}") };
    let namespace = object["metadata"]["namespace"].as_str().map(|n| format!("/namespaces/{n}"));
    format!("{api}{}/{plural}/{}", namespace.unwrap_or_default(), name(object))
}

pub(crate) fn apply(client: &ApiClient, object: &Value) {
    let answer = sent(client, object).unwrap();
    assert!(answer.ok(), "PATCH {}: {}", place(object), answer.text());
}

/// The same, and what the server says to it.
pub(crate) fn sent(client: &ApiClient, object: &Value) -> anyhow::Result<Answer> {
    let path = format!("{}?fieldManager=test&force=true", place(object));
    client.call("PATCH", &path, "application/apply-patch+yaml", object.to_string().as_bytes())
}
