//! Which file of `deploy/` is made of which templates.
//!
//! `templates/a/b.yaml` is `deploy/a/b.yaml`; a folder `templates/a/b/` is one file `deploy/a/b.yaml`; everything that a
//! release applies with default values is `deploy/manifold.yaml` as well.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use manifold_e2e::helm::{Helm, parts};

/// The CRDs as the crate `crds` prints them, and the chart's copies: Helm reads no file outside the chart.
pub(super) const CRDS: [&str; 3] =
    ["address-block.yaml", "address-pool.yaml", "network-attachment-definition.yaml"];
pub(super) const CRDS_FROM: &str = "crds/yaml";
pub(super) const CRDS_TO: &str = "charts/manifold/crds";

/// The namespace that plain manifests are for.
pub(super) const NAMESPACE: &str = "manifold-system";

/// With what the plain manifests are rendered: their namespace comes with them.
pub(super) const PLAIN: [&str; 1] = ["namespace.create=true"];

/// Templates that default values leave out, the values that bring them, and their file where it is another one.
const OPTIONAL: [(&str, &str, Option<&str>); 4] = [
    ("templates/rbac/shim-reads-pods/", "node.podAnnotations=false", None),
    ("templates/rbac/node-reads-runtime/", "defaultNetwork.source=\"existing\"", None),
    ("templates/dhcp/", "dhcp.enabled=true", None),
    (
        "templates/policies/status-not-for-users/binding",
        "policies.statusOnCreate=\"warn\"",
        Some("deploy/options/status-on-create-warn.yaml"),
    ),
];

pub(super) fn rendered(helm: &Helm) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let usual = render(helm, &PLAIN)?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (source, text) in &usual {
        if let Some(file) = file_of(source) {
            files.entry(file).or_default().push(text.clone());
        }
        if !source.starts_with("templates/uninstall/") {
            files.entry("deploy/manifold.yaml".to_owned()).or_default().push(text.clone());
        }
    }
    for (folder, value, other) in OPTIONAL {
        for (source, text) in render(helm, &[PLAIN[0], value])? {
            let file = other.map(str::to_owned).or_else(|| file_of(&source));
            if let Some(file) = file.filter(|_| source.starts_with(folder)) {
                files.entry(file).or_default().push(text);
            }
        }
    }
    Ok(files.into_iter().map(|(file, texts)| (file.into(), whole(&texts))).collect())
}

fn render(helm: &Helm, values: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
    let text = helm.template(NAMESPACE, values, &[])?;
    parts(&text.map_err(|said| anyhow!("the chart does not render: {said}"))?)
}

fn whole(texts: &[String]) -> String {
    format!(
        "# Rendered from charts/manifold; change it there, then `cargo xtask manifests`.\n{}",
        texts.join("---\n")
    )
}

/// None for what has no file of its own.
fn file_of(source: &str) -> Option<String> {
    let below = source.strip_prefix("templates/")?;
    if below == "namespace.yaml" {
        return Some("deploy/cluster/namespace.yaml".to_owned());
    }
    let parts: Vec<&str> = below.split('/').collect();
    match parts[..] {
        ["options", _] => None,
        ["uninstall" | "dhcp", _] => Some(format!("deploy/{}.yaml", parts.first()?)),
        [room, file] => Some(format!("deploy/{room}/{file}")),
        [room, folder, _] => Some(format!("deploy/{room}/{folder}.yaml")),
        _ => None,
    }
}

/// For a test: what no file is made of.
#[cfg(test)]
pub(super) fn is_known(source: &str) -> bool {
    file_of(source).is_some() || source.starts_with("templates/options/") || source.starts_with("crds/")
}

/// Helm's output as objects.
#[cfg(test)]
pub(super) fn objects(rendered: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    use anyhow::bail;
    use serde::Deserialize as _;
    let mut all = Vec::new();
    for (source, text) in parts(rendered)? {
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = serde_json::Value::deserialize(document)?;
            if !value.is_object() {
                bail!("`{source}` renders something that is not an object");
            }
            all.push(value);
        }
    }
    Ok(all)
}
