//! Test executables: which there are, and what each says when it runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use serde::Deserialize;

use super::selection::Selection;
use super::tally::Tally;
use super::verdict::Outcome;
use crate::{build, progress};

/// The executables that tests run, by the variables that name them.
pub(crate) type Executables = [(&'static str, PathBuf)];

/// A test executable that cargo built.
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) path: PathBuf,
}

impl Suite {
    /// Runs it whole, or those tests whose names contain `filter`.
    pub(super) fn run(&self, executables: &Executables, filter: Option<&str>) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let outcome = self.outcome(self.command().args(filter).envs(executables.iter().cloned()))?;
        report(&self.name, &outcome, &progress::seconds(begin.elapsed()));
        Ok(outcome)
    }

    /// A test of a program that cannot be had by name: run where the variable names one, else told at the end.
    pub(crate) fn run_given(
        &self,
        test: &str,
        variable: &str,
        executables: &Executables,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let named = executables.iter().any(|(name, _)| *name == variable);
        if !named && std::env::var_os(variable).is_none_or(|path| path.is_empty()) {
            tally.skipped.push(format!("{test}: no program was given; name one by {variable}"));
            return Ok(());
        }
        let outcome = self
            .outcome(self.command().args(["--ignored", "--exact", test]).envs(executables.iter().cloned()))?;
        let name = format!("{} by {variable}", self.name);
        report(&name, &outcome, "");
        tally.add(&name, outcome);
        Ok(())
    }

    /// With the time of each test, which libtest of a stable compiler prints only when it is let.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).env("RUSTC_BOOTSTRAP", "1");
        command.args(["-Zunstable-options", "--report-time"]);
        command
    }

    pub(crate) fn outcome(&self, command: &mut Command) -> anyhow::Result<Outcome> {
        let out = command.output().with_context(|| format!("running {}", self.path.display()))?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let failure = (!out.status.success()).then(|| format!("ended with {}", out.status));
        Ok(Outcome::read(text, failure))
    }
}

pub(super) fn report(name: &str, outcome: &Outcome, took: &str) {
    let (passed, failed) = (outcome.passed.len(), outcome.failed.len());
    progress::line(format!("  {name:<32} {passed:>5} passed {failed:>3} failed  {took}").trim_end());
}

/// Builds all tests and tells where they are; those of the cluster, which need it, are not among them.
pub(super) fn all(selection: &Selection) -> anyhow::Result<Vec<Suite>> {
    let mut found = built(&[] as &[&str])?;
    found.retain(|suite| selection.covers(&suite.name));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Builds the tests of the cluster. As a part of the workspace, for then they share the libraries of all others.
pub(crate) fn of_cluster() -> anyhow::Result<Suite> {
    built(&["--test", "cluster"])?.pop().context("cargo built no tests of the cluster")
}

fn built(more: &[impl AsRef<OsStr>]) -> anyhow::Result<Vec<Suite>> {
    let words = ["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics", "--quiet"];
    let words = words.iter().map(OsStr::new).chain(more.iter().map(AsRef::as_ref));
    read_messages(&build::quietly(words)?)
}

/// The test executables that cargo's messages name.
pub(super) fn read_messages(out: &[u8]) -> anyhow::Result<Vec<Suite>> {
    let mut found = Vec::new();
    for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let message: Message =
            serde_json::from_slice(line).context("cargo's messages changed their shape")?;
        found.extend(message.suite());
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Message {
    fn suite(self) -> Option<Suite> {
        let (path, manifest, target) = (self.executable?, self.manifest_path?, self.target?);
        self.profile.filter(|profile| profile.test)?;
        let folder: &Path = manifest.parent()?;
        let room = folder.file_name().unwrap_or_default().to_string_lossy();
        let unit = if target.kind.iter().any(|kind| kind == "test") { "" } else { ", unit" };
        Some(Suite { name: format!("{room} ({}{unit})", target.name), folder: folder.to_owned(), path })
    }
}
