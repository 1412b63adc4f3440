//! `cargo xtask e2e`: what users are promised, on a real cluster, with the time of each test.
//!
//! One test after another: some of them switch off what others need. A cluster that is up is used and left up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use manifold_e2e::cluster::{Cluster, Place};
use serde::Deserialize;

use crate::cluster::{self, up};
use crate::{able, build, progress};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Leaves the cluster up
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    cluster: up::Options,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    able::check("e2e")?;
    let place = Place::of_environment();
    let begin = Instant::now();
    let was_up = Cluster::at(&place).is_ok();
    up::run(&place, &options.cluster)?;
    let suite = progress::step("tests", suite)?;
    let names = names(&suite, options.filter.as_deref())?;
    let failed: Vec<&String> = names.iter().filter(|name| !passes(&suite, name)).collect();
    if !was_up && !options.keep {
        cluster::down(&place)?;
    }
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    progress::line(&format!("{} passed, {} failed", names.len() - failed.len(), failed.len()));
    match (failed.is_empty(), names.is_empty()) {
        (true, false) => Ok(()),
        (_, true) => bail!("no test has such a name"),
        _ => bail!("some tests failed; see what they said above"),
    }
}

/// Builds the tests and tells where they are.
fn suite() -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let words = ["test", "--package", "manifold-e2e", "--test", "cluster", "--no-run", "--quiet"];
    let out = Command::new(env!("CARGO"))
        .args(words)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(build::root())
        .output()
        .context("cargo cannot be run")?;
    if !out.status.success() {
        bail!("the tests cannot be built:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter_map(|message| message.executable)
        .next_back()
        .context("cargo built no tests of the cluster")
}

fn names(suite: &Path, filter: Option<&str>) -> anyhow::Result<Vec<String>> {
    let out =
        command(suite).args(["--list", "--format", "terse"]).output().context("cannot run the tests")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let all = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(all.filter(|name| filter.is_none_or(|f| name.contains(f))).map(str::to_owned).collect())
}

fn passes(suite: &Path, name: &str) -> bool {
    let outcome = progress::step(name, || {
        let out = command(suite).args(["--exact", name]).output().context("cannot run the test")?;
        let said = [out.stdout, out.stderr].concat();
        if !out.status.success() {
            bail!("{}", String::from_utf8_lossy(&said));
        }
        Ok(())
    });
    match outcome {
        Ok(()) => true,
        Err(error) => {
            progress::line(&format!("{error:#}"));
            false
        }
    }
}

fn command(suite: &Path) -> Command {
    let folder = build::root().join("e2e");
    let mut command = Command::new(suite);
    command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
    command
}
