//! Where the files of a release come from: an in-toto statement with SLSA provenance, version 1.

use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::VERSION;
use super::checksums::{FileDigest, sha256};
use crate::build;

/// Names the commands below, for a reader of many projects' statements.
const BUILD_TYPE: &str = "urn:manifold:cargo-xtask-release:1";
const COMMANDS: [&str; 3] =
    ["cargo xtask images --arch amd64", "cargo xtask images --arch arm64", "cargo xtask release"];

/// The commit, and who builds it.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) revision: String,
    /// The address of the repository.
    pub(super) source: Option<String>,
    /// A URI that names who built it.
    pub(super) builder: String,
}

impl Origin {
    /// A workflow names itself and the repository by `MANIFOLD_BUILDER` and `MANIFOLD_SOURCE`.
    pub(super) fn of_environment(revision: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            revision: revision.to_owned(),
            source: variable("MANIFOLD_SOURCE"),
            builder: variable("MANIFOLD_BUILDER").unwrap_or_else(|| "urn:manifold:by-hand".to_owned()),
        }
    }
}

pub(super) fn statement(origin: &Origin, files: &[FileDigest]) -> anyhow::Result<String> {
    let subjects = files.iter().map(|file| json!({"name": file.name, "digest": {"sha256": file.sha256}}));
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": VERSION, "commands": COMMANDS},
                "internalParameters": {"rustc": compiler()?},
                "resolvedDependencies": dependencies(origin)?,
            },
            "runDetails": {"builder": {"id": origin.builder}},
        },
    });
    Ok(format!("{statement:#}\n"))
}

/// The commit, and the lock file that pins every crate with its checksum.
fn dependencies(origin: &Origin) -> anyhow::Result<Vec<Value>> {
    let mut source = json!({"name": "source", "digest": {"gitCommit": origin.revision}});
    if let (Some(uri), Some(fields)) = (&origin.source, source.as_object_mut()) {
        fields.insert("uri".into(), format!("git+{uri}").into());
    }
    let lock = std::fs::read(build::root().join("Cargo.lock")).context("cannot read `Cargo.lock`")?;
    Ok(vec![source, json!({"name": "Cargo.lock", "digest": {"sha256": sha256(&lock)}})])
}

fn compiler() -> anyhow::Result<String> {
    let out = Command::new("rustc").arg("--version").current_dir(build::root()).output();
    let out = out.context("`rustc` cannot be run")?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(source: Option<&str>) -> Value {
        let origin = Origin {
            revision: "1234".into(),
            source: source.map(Into::into),
            builder: "https://example.org/run/1".into(),
        };
        let file = FileDigest { name: "a.tar".into(), sha256: "ab".into() };
        serde_json::from_str(&statement(&origin, &[file]).unwrap()).unwrap()
    }

    #[test]
    fn a_statement_names_files_commit_and_builder() {
        let statement = parsed(Some("https://example.org/manifold"));
        assert_eq!(statement["subject"], json!([{"name": "a.tar", "digest": {"sha256": "ab"}}]));
        let source = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(source["uri"], "git+https://example.org/manifold");
        assert_eq!(source["digest"]["gitCommit"], "1234");
        assert_eq!(statement["predicate"]["runDetails"]["builder"]["id"], "https://example.org/run/1");
    }

    #[test]
    fn by_hand_no_repository_is_named() {
        let source = &parsed(None)["predicate"]["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(source["uri"], Value::Null);
    }
}
