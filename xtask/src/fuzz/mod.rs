//! `cargo xtask fuzz`: libFuzzer on everything that Manifold reads from others, for some time each.
//!
//! The targets lie in `fuzz/`, a workspace of its own in the form of cargo-fuzz, which is not needed here: what it would
//! add to a build are the flags below, and the project's own compiler knows them. A finding is an input that makes a
//! reader panic, or takes longer or more memory than the requirements allow; it fails the run.

mod run;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{build, progress};
use run::Outcome;

/// Counters at every edge, and the values that are compared.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Naming it keeps the flags away from build scripts and procedural macros.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many targets run at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Leaves out the reviews of the webhook, whose libraries take most of the build
    #[arg(long)]
    without_admission: bool,
    /// Runs the target on this file only, as to look at a finding
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// The one target to run, else all
    target: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let targets = chosen(&targets(&build::root())?, options)?;
    let folder = build::target_dir().join("fuzz");
    progress::watched("fuzz targets, with counters for coverage", |detail| {
        build_all(&folder, options, detail)
    })?;
    let executables = folder.join(TRIPLE).join("release");
    if let (Some(input), [target]) = (&options.input, targets.as_slice()) {
        return run::on_input(&executables.join(target), input);
    }
    let place = run::Place { executables, folder, root: build::root() };
    let outcomes = run::all(&place, &targets, options.seconds, options.jobs.into())?;
    tell(&outcomes)
}

/// The names of all targets, in order.
fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn chosen(all: &[String], options: &Options) -> anyhow::Result<Vec<String>> {
    if let Some(name) = &options.target {
        if !all.contains(name) {
            bail!("there is no target `{name}`; the targets are {}", all.join(", "));
        }
        return Ok(vec![name.clone()]);
    }
    let is_left_out = |name: &&String| options.without_admission && name.starts_with("review_");
    Ok(all.iter().filter(|name| !is_left_out(name)).cloned().collect())
}

fn build_all(folder: &Path, options: &Options, detail: &progress::Detail) -> anyhow::Result<()> {
    let folder = folder.to_string_lossy();
    let mut words = vec!["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", TRIPLE];
    words.extend(["--target-dir", &folder]);
    if options.without_admission {
        words.push("--no-default-features");
    }
    build::with_flags(&words, COVERAGE, detail)
}

/// Executions of each target; a finding fails.
fn tell(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let total: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    progress::line(&format!("{total} executions of {} targets", outcomes.len()));
    let findings: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.finding.as_deref()).collect();
    if findings.is_empty() { Ok(()) } else { bail!("{}", findings.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(target: Option<&str>, without_admission: bool) -> Options {
        let target = target.map(str::to_owned);
        Options { seconds: 1, jobs: 1, without_admission, input: None, target }
    }

    #[test]
    fn a_target_is_chosen_by_its_name_and_reviews_can_be_left_out() {
        let all = ["cni_args", "review_pod"].map(str::to_owned);
        assert_eq!(chosen(&all, &options(Some("cni_args"), false)).unwrap(), ["cni_args"]);
        assert_eq!(chosen(&all, &options(None, true)).unwrap(), ["cni_args"]);
        assert_eq!(chosen(&all, &options(None, false)).unwrap().len(), 2);
        let unknown = chosen(&all, &options(Some("x"), false)).unwrap_err().to_string();
        assert!(unknown.contains("the targets are cni_args, review_pod"), "{unknown}");
    }

    /// A target without a seed folder or an entry in the manifest would not run.
    #[test]
    fn every_target_has_an_entry_and_seeds() {
        let root = build::root();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let targets = targets(&root).unwrap();
        assert!(targets.len() >= 12, "{targets:?}");
        for name in targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            assert!(root.join("hostile/seeds").join(&name).is_dir(), "{name} has no seeds");
            let text = fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
            assert!(text.contains(&format!("target!(\"{name}\")")), "{name} runs another reader");
        }
    }

    #[test]
    fn a_finding_fails_the_run() {
        let outcome = |finding: Option<&str>| Outcome { executions: 7, finding: finding.map(str::to_owned) };
        tell(&[outcome(None), outcome(None)]).unwrap();
        assert_eq!(tell(&[outcome(None), outcome(Some("bad"))]).unwrap_err().to_string(), "bad");
    }
}
