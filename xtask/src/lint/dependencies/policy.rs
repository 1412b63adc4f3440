//! `deny.toml`, as far as it is checked here.

use std::fs;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::build;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Policy {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    #[serde(default)]
    skip: Vec<Exception>,
}

/// A version that may be linked beside another one.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    #[serde(default)]
    allow_registry: Vec<String>,
    #[serde(default)]
    allow_git: Vec<String>,
}

impl Policy {
    pub(super) fn read() -> anyhow::Result<Self> {
        let path = build::root().join("deny.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).context("`deny.toml` cannot be used")
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let policy: Self = toml::from_str(text)?;
        for Exception { spec, reason } in &policy.bans.skip {
            ensure!(!reason.trim().is_empty(), "`[bans] skip` gives no reason for `{spec}`");
        }
        Ok(policy)
    }

    pub(super) fn targets(&self) -> &[String] {
        &self.graph.targets
    }

    pub(super) fn allowed_licences(&self) -> &[String] {
        &self.licenses.allow
    }

    /// `source` as Cargo.lock has it: `registry+URL`, `git+URL?branch#REVISION`.
    pub(super) fn allows_source(&self, source: &str) -> bool {
        match source.split_once('+') {
            Some(("registry", url)) => self.sources.allow_registry.iter().any(|known| known == url),
            Some(("git", url)) => {
                let repository = url.split(['?', '#']).next().unwrap_or(url);
                self.sources.allow_git.iter().any(|known| known == repository)
            }
            _ => false,
        }
    }

    /// `spec` is `NAME@VERSION`.
    pub(super) fn is_excepted(&self, spec: &str) -> bool {
        self.exceptions().any(|known| known == spec)
    }

    pub(super) fn exceptions(&self) -> impl Iterator<Item = &str> {
        self.bans.skip.iter().map(|exception| exception.spec.as_str())
    }
}
