//! What changed files can affect: the crates that they belong to, those that depend on these, and those that run them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::build::{quietly, root};

/// A change of these can affect every suite.
const EVERYTHING: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "clippy.toml", "rustfmt.toml", ".cargo/", ".ci/"];
/// Files that belong to no crate, by the beginning of their path, and the folders of the crates whose tests read them.
const READERS: [(&str, &[&str]); 5] = [
    ("charts/", &["xtask", "controller", "e2e"]),
    ("deploy/", &["xtask", "controller", "e2e"]),
    ("docs/", &["xtask", "controller"]),
    (".github/", &["xtask"]),
    ("fuzz/", &["xtask"]),
];
/// Folders of crates whose executables other crates' tests run, and the folders of these.
const RUNNERS: [(&str, &[&str]); 2] =
    [("cni-shim", &["dhcp", "e2e", "xtask"]), ("controller", &["e2e", "xtask"])];
/// Folders whose change the tests on the real cluster would notice.
const ON_CLUSTER: [&str; 3] = ["cni-shim", "controller", "e2e"];

/// Folders of crates, each with the folders of the crates that depend on it.
type Dependents = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Affected {
    /// Folders of crates, from the root.
    folders: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

impl Affected {
    /// By the files that differ from a revision, and those that git does not track yet.
    pub(super) fn since(revision: &str) -> anyhow::Result<Self> {
        let mut files = git(&["diff", "--name-only", revision, "--"])?;
        files.extend(git(&["ls-files", "--others", "--exclude-standard"])?);
        Ok(Self::by_files(&files, &dependents()?))
    }

    fn by_files(files: &[String], dependents: &Dependents) -> Self {
        let all: BTreeSet<String> = dependents.keys().cloned().collect();
        let (mut changed, mut only_read) = (BTreeSet::new(), BTreeSet::new());
        for file in files {
            match owner(file, &all) {
                Owner::Crate(folder) => drop(changed.insert(folder)),
                Owner::Readers(readers) => only_read.extend(readers.iter().map(ToString::to_string)),
                Owner::Unknown => changed.extend(all.iter().cloned()),
            }
        }
        let mut folders = with_dependents(changed, dependents);
        let runners = RUNNERS.iter().filter(|(run, _)| folders.contains(*run)).flat_map(|(_, by)| *by);
        only_read.extend(runners.map(ToString::to_string));
        folders.extend(only_read);
        let left_out = all.difference(&folders).cloned().collect();
        Self { folders, left_out }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.left_out.is_empty()
    }

    /// Whether the suites of the crate in this folder, named without the folders above it, take part.
    pub(super) fn covers(&self, folder: &str) -> bool {
        self.folders.iter().any(|affected| affected.rsplit('/').next() == Some(folder))
    }

    pub(super) fn covers_cluster(&self) -> bool {
        ON_CLUSTER.iter().any(|folder| self.folders.contains(*folder))
    }

    /// What is run, and what is left out, for a person.
    pub(super) fn describe(&self) -> Vec<String> {
        let names = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let cluster = if self.covers_cluster() { "" } else { ", the tests on the cluster" };
        vec![
            format!("Suites that the changed files can affect: {}", none(names(&self.folders))),
            format!("Left out: {}{cluster}", none(names(&self.left_out))),
        ]
    }
}

/// Whose tests a file can affect.
enum Owner {
    /// The crate in this folder, and all that depend on it.
    Crate(String),
    /// The tests of the crates in these folders, which only read the file.
    Readers(&'static [&'static str]),
    Unknown,
}

fn owner(file: &str, crates: &BTreeSet<String>) -> Owner {
    if EVERYTHING.iter().any(|begin| file.starts_with(begin)) {
        return Owner::Unknown;
    }
    let inside =
        |folder: &&String| file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
    if let Some(own) = crates.iter().filter(inside).max_by_key(|folder| folder.len()) {
        return Owner::Crate(own.clone());
    }
    if let Some((_, readers)) = READERS.iter().find(|(begin, _)| file.starts_with(begin)) {
        return Owner::Readers(readers);
    }
    let is_prose = !file.contains('/') && Path::new(file).extension().is_some_and(|e| e == "md");
    if is_prose { Owner::Readers(&["xtask"]) } else { Owner::Unknown }
}

/// These crates and all that depend on them.
fn with_dependents(folders: BTreeSet<String>, dependents: &Dependents) -> BTreeSet<String> {
    let mut open: Vec<String> = folders.into_iter().collect();
    let mut all = BTreeSet::new();
    while let Some(folder) = open.pop() {
        if all.insert(folder.clone()) {
            open.extend(dependents.get(&folder).into_iter().flatten().cloned());
        }
    }
    all
}

fn git(words: &[&str]) -> anyhow::Result<Vec<String>> {
    let out = Command::new("git").args(words).current_dir(root()).output().context("git cannot be run")?;
    if !out.status.success() {
        bail!("`git {}` failed: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    path: Option<String>,
}

fn dependents() -> anyhow::Result<Dependents> {
    let printed = quietly(["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Metadata =
        serde_json::from_slice(&printed).context("cargo's metadata changed its shape")?;
    let root = root();
    let folder = |path: &Path| path.strip_prefix(&root).ok().map(|path| path.display().to_string());
    let mut dependents = Dependents::new();
    for package in metadata.packages {
        let Some(own) = Path::new(&package.manifest_path).parent().and_then(folder) else { continue };
        dependents.entry(own.clone()).or_default();
        for dependency in package.dependencies.iter().filter_map(|d| folder(Path::new(d.path.as_deref()?))) {
            dependents.entry(dependency).or_default().insert(own.clone());
        }
    }
    Ok(dependents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(files: &[&str]) -> Affected {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        Affected::by_files(&files, &dependents().unwrap())
    }

    #[track_caller]
    fn check(files: &[&str], covered: &[&str], left_out: &[&str], cluster: bool) {
        let affected = affected(files);
        covered.iter().for_each(|folder| assert!(affected.covers(folder), "{folder}: {affected:?}"));
        left_out.iter().for_each(|folder| assert!(!affected.covers(folder), "{folder}: {affected:?}"));
        assert_eq!(affected.covers_cluster(), cluster, "{affected:?}");
    }

    #[test]
    fn a_changed_crate_affects_its_dependents_and_those_that_run_them() {
        check(&["plan/src/names.rs"], &["plan", "cni-shim", "controller", "e2e"], &["net", "ledger"], true);
        check(&["xtask/src/main.rs"], &["xtask"], &["plan", "controller", "e2e"], false);
        check(&["plugins/src/lib.rs"], &["plugins", "cni-shim", "e2e"], &["cni", "plan"], true);
    }

    #[test]
    fn files_outside_of_crates_affect_the_tests_that_read_them() {
        check(&["charts/manifold/values.yaml"], &["xtask", "controller", "e2e"], &["net"], true);
        check(&["README.md"], &["xtask"], &["controller", "plan"], false);
        check(&[], &[], &["xtask", "plan"], false);
    }

    #[test]
    fn what_nobody_knows_affects_everything() {
        for file in ["Cargo.lock", "Cargo.toml", ".cargo/config.toml", "unheard-of/file", "Makefile"] {
            assert!(affected(&[file]).is_everything(), "{file}");
        }
    }

    #[test]
    fn what_is_left_out_is_named() {
        let lines = affected(&["README.md"]).describe();
        assert_eq!(lines[0], "Suites that the changed files can affect: xtask");
        assert!(lines[1].starts_with("Left out: ") && lines[1].contains("plan"), "{lines:?}");
        assert!(lines[1].ends_with("the tests on the cluster"), "{lines:?}");
    }
}
