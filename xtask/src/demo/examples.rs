//! The examples as a user would apply them: every YAML file of `deploy/examples`, and the pods in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

/// A pod of the examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for PodName {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}/{}", self.namespace, self.name)
    }
}

/// What was applied.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) files: Vec<String>,
    pub(super) networks: usize,
    pub(super) pods: Vec<PodName>,
}

/// Copies the files to where the plugin will read them. Statuses are written beside them, which the project's own
/// folder is no place for.
pub(super) fn apply(from: &Path, to: &Path) -> anyhow::Result<Applied> {
    fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    let mut applied = Applied { files: Vec::new(), networks: 0, pods: Vec::new() };
    for file in yaml_files(from)? {
        let name = file.file_name().unwrap_or_default();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        read(&text, &mut applied).with_context(|| format!("`{}` is not YAML", file.display()))?;
        fs::write(to.join(name), text).with_context(|| format!("cannot write into `{}`", to.display()))?;
        applied.files.push(name.to_string_lossy().into_owned());
    }
    if applied.pods.is_empty() {
        bail!("there is no pod in `{}`; the demo has nothing to show", from.display());
    }
    Ok(applied)
}

fn yaml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    Ok(files)
}

fn read(text: &str, applied: &mut Applied) -> anyhow::Result<()> {
    for document in serde_yaml::Deserializer::from_str(text) {
        let object = Value::deserialize(document)?;
        let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        match word("/kind") {
            Some("NetworkAttachmentDefinition") => applied.networks += 1,
            Some("Pod") => applied.pods.push(PodName {
                namespace: word("/metadata/namespace").unwrap_or("default").to_owned(),
                name: word("/metadata/name").context("a pod has no name")?.to_owned(),
            }),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_project_are_two_pods_and_three_networks() {
        let to = std::env::temp_dir().join(format!("manifold-examples-{}", std::process::id()));
        let applied = apply(&crate::build::root().join("deploy/examples"), &to).unwrap();
        fs::remove_dir_all(&to).unwrap();
        let pods: Vec<String> = applied.pods.iter().map(PodName::to_string).collect();
        assert_eq!((applied.networks, pods), (3, vec!["default/pod-a".into(), "default/pod-b".into()]));
    }
}
