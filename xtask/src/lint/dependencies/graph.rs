//! The crates that the targets link, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;

use crate::build;

#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    /// None: a folder.
    pub(super) source: Option<String>,
    /// Of this workspace.
    pub(super) is_member: bool,
    /// What it requires in any version.
    pub(super) wildcards: Vec<String>,
}

impl Package {
    /// As `deny.toml` names it.
    pub(super) fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.version)
    }
}

/// Each crate once, in the order of names and versions.
pub(super) fn packages(targets: &[String]) -> anyhow::Result<Vec<Package>> {
    let mut found = BTreeMap::new();
    for target in targets {
        let words = ["metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform"];
        let out = build::quietly(words.iter().copied().chain([target.as_str()]))?;
        let metadata: Metadata =
            serde_json::from_slice(&out).context("`cargo metadata` changed its shape")?;
        found.extend(
            metadata.packages().map(|package| ((package.name.clone(), package.version.clone()), package)),
        );
    }
    Ok(found.into_values().collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Listed>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Requirement {
    name: String,
    req: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

impl Metadata {
    /// Only what the target links; the list of packages has those of all systems.
    fn packages(self) -> impl Iterator<Item = Package> {
        let linked: BTreeSet<String> = self.resolve.nodes.into_iter().map(|node| node.id).collect();
        let members = self.workspace_members;
        let linked = self.packages.into_iter().filter(move |package| linked.contains(&package.id));
        linked.map(move |package| Package {
            is_member: members.contains(&package.id),
            wildcards: package.wildcards(),
            name: package.name,
            version: package.version,
            licence: package.license,
            source: package.source,
        })
    }
}

impl Listed {
    fn wildcards(&self) -> Vec<String> {
        let any = self.dependencies.iter().filter(|wanted| wanted.req == "*" && wanted.source.is_some());
        any.map(|wanted| wanted.name.clone()).collect()
    }
}
