//! `cargo xtask test`: everything that must hold, in one run, with the time of each part.

mod in_guest;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use manifold_e2e::guest;
use serde::Deserialize;

use crate::{able, build, conformance, packages, progress};
use in_guest::Part;
use verdict::Outcome;

/// The size a node is asked to hold, of the release executable. Bytes.
const MOST_BYTES: u64 = 12 * 1024 * 1024;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only test executables whose package or name contains this
    #[arg(long)]
    only: Option<String>,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
}

/// A test executable that cargo built.
struct Suite {
    name: String,
    folder: PathBuf,
    path: PathBuf,
}

/// What was heard of all suites so far.
#[derive(Default)]
struct Tally {
    /// Names without their modules, as tests cite rows.
    passed: BTreeSet<String>,
    good: usize,
    bad: Vec<String>,
    /// What was not run, and what would let it.
    skipped: Vec<String>,
}

impl Tally {
    fn add(&mut self, suite: &str, outcome: Outcome) {
        self.good += outcome.passed.len();
        self.passed
            .extend(outcome.passed.iter().map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()));
        if !outcome.failed.is_empty() {
            progress::line(&outcome.text);
        }
        self.bad.extend(outcome.failed.into_iter().map(|name| format!("{suite} {name}")));
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    able::check("test")?;
    progress::line("Preparing");
    packages::for_test()?;
    progress::watched("control plane (etcd, kube-apiserver, kubectl in one executable; cached)", |detail| {
        manifold_e2e::cluster_binary::cluster_binary(&mut |step| detail.say(step)).map(drop)
    })?;
    progress::watched("whereabouts, an IPAM plugin that is not ours (cached)", |detail| {
        manifold_e2e::whereabouts::executable(&mut |step| detail.say(step)).map(drop)
    })?;
    progress::watched("Helm 3 and 4 (cached)", |detail| {
        use manifold_e2e::helm::{Generation, Helm};
        let ensure = |generation| Helm::ensure(generation, &mut |step| detail.say(step)).map(drop);
        ensure(Generation::Three).and_then(|()| ensure(Generation::Four))
    })?;
    let release = progress::watched("release executable, static, link-time optimised", build::release)?;
    let crash = progress::watched("executable with crash points", build::with_crash_points)?;
    let controller = progress::watched("the controller", build::controller_for_tests)?;
    check_size(&release)?;
    let mut tally = Tally::default();
    if options.only.is_none()
        && let Err(wrong) = progress::step("lints", lints)
    {
        progress::line(&format!("{wrong:#}"));
        tally.bad.push("lints".to_owned());
    }
    let suites = progress::step("test executables", || suites(options.only.as_deref()))?;

    progress::line("Testing");
    let executables: [(&str, &Path); 3] = [
        ("MANIFOLD_EXECUTABLE", &release),
        ("MANIFOLD_CRASH_EXECUTABLE", &crash),
        ("MANIFOLD_CONTROLLER", &controller),
    ];
    let mut parts = Vec::new();
    for suite in &suites {
        let mut outcome = run_suite(suite, &executables, options.filter.as_deref())?;
        for (test, variable) in std::mem::take(&mut outcome.to_be_given) {
            run_given(suite, &test, &variable, &executables, &mut tally)?;
        }
        let tests = std::mem::take(&mut outcome.for_guest);
        if !tests.is_empty() {
            parts.push((suite, tests));
        }
        tally.add(&suite.name, outcome);
    }
    run_in_guest(parts, &executables, &mut tally);
    let Tally { passed, good, bad, skipped } = tally;
    let survey = conformance::Survey::read(&build::root())?;
    progress::line(&survey.total());
    let whole = options.only.is_none() && options.filter.is_none();
    let passed = whole.then_some(&passed);
    let claims = survey.verify(passed).and_then(|()| survey.verify_types(&build::root(), passed));
    skipped.iter().for_each(|name| progress::line(&progress::verdict(false, &format!("NOT RUN: {name}"))));
    bad.iter().for_each(|name| progress::line(&format!("failed: {name}")));
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    if let Err(wrong) = &claims {
        progress::line(&format!("{wrong:#}"));
    }
    let failed = bad.len() + usize::from(claims.is_err());
    progress::line(&format!("{good} passed, {failed} failed, {} skipped", skipped.len()));
    if failed > 0 || good == 0 { std::process::exit(1) } else { Ok(()) }
}

fn check_size(path: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(path)?.len();
    progress::line(&format!("  `manifold` is {:.1} MB", bytes as f64 / 1e6));
    if bytes > MOST_BYTES {
        bail!(
            "`manifold` has {bytes} bytes, more than the {MOST_BYTES} it may have; look at what was linked in"
        );
    }
    Ok(())
}

fn lints() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]).map(drop)
}

fn cargo(words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let out = Command::new(env!("CARGO"))
        .args(words)
        .current_dir(build::root())
        .output()
        .context("cargo cannot be run")?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        bail!("`cargo {}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&said));
    }
    Ok(out.stdout)
}

/// Builds all tests and tells where they are.
fn suites(only: Option<&str>) -> anyhow::Result<Vec<Suite>> {
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
    let out = cargo(&[
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
        "--quiet",
    ])?;
    let mut found = Vec::new();
    for line in out.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let message: Message =
            serde_json::from_slice(line).context("cargo's messages changed their shape")?;
        let (Some(path), Some(manifest), Some(target)) =
            (message.executable, message.manifest_path, message.target)
        else {
            continue;
        };
        if !message.profile.is_some_and(|p| p.test) {
            continue;
        }
        let folder = manifest.parent().context("a manifest lies in a folder")?.to_owned();
        let room = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if target.kind.iter().any(|k| k == "test") {
            format!("{room} ({})", target.name)
        } else {
            format!("{room} ({}, unit)", target.name)
        };
        if only.is_none_or(|o| name.contains(o)) {
            found.push(Suite { name, folder, path });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn run_suite(suite: &Suite, executables: &[(&str, &Path)], filter: Option<&str>) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let mut command = Command::new(&suite.path);
    command.args(filter).current_dir(&suite.folder).env("CARGO_MANIFEST_DIR", &suite.folder);
    command.envs(executables.iter().copied());
    let out = command.output().with_context(|| format!("running {}", suite.path.display()))?;
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let failure = (!out.status.success()).then(|| format!("ended with {}", out.status));
    let outcome = Outcome::read(text, failure);
    report(&suite.name, &outcome, &progress::seconds(begin.elapsed()));
    Ok(outcome)
}

/// A test of a program that cannot be had by name: run where the variable names one, else told at the end.
fn run_given(
    suite: &Suite,
    test: &str,
    variable: &str,
    executables: &[(&str, &Path)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    if std::env::var_os(variable).is_none_or(|path| path.is_empty()) {
        tally.skipped.push(format!("{test}: no program was given; name one by {variable}"));
        return Ok(());
    }
    let mut command = Command::new(&suite.path);
    command.args(["--ignored", "--exact", test]).current_dir(&suite.folder).envs(executables.iter().copied());
    let out = command.output().with_context(|| format!("running {}", suite.path.display()))?;
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let failure = (!out.status.success()).then(|| format!("ended with {}", out.status));
    let outcome = Outcome::read(text, failure);
    let name = format!("{} by {variable}", suite.name);
    report(&name, &outcome, "");
    tally.add(&name, outcome);
    Ok(())
}

fn report(name: &str, outcome: &Outcome, took: &str) {
    let (passed, failed) = (outcome.passed.len(), outcome.failed.len());
    progress::line(format!("  {name:<32} {passed:>5} passed {failed:>3} failed  {took}").trim_end());
}

/// A guest that does not boot is a failure like any other: the rest of the run is still told.
fn run_in_guest(parts: Vec<(&Suite, Vec<String>)>, executables: &[(&str, &Path)], tally: &mut Tally) {
    if parts.is_empty() {
        return;
    }
    let (suites, parts): (Vec<&Suite>, Vec<Part<'_>>) = parts
        .into_iter()
        .map(|(suite, tests)| (suite, Part { folder: &suite.folder, executable: &suite.path, tests }))
        .unzip();
    progress::line("Testing in the guest kernel");
    let ran =
        progress::watched("QEMU and a kernel (cached)", |detail| guest::ensure(&mut |step| detail.say(step)))
            .and_then(|_| progress::step("boot, tests and end", || in_guest::run(&parts, executables)));
    match ran {
        Ok(outcomes) => {
            for (suite, outcome) in suites.into_iter().zip(outcomes) {
                report(&suite.name, &outcome, "");
                tally.add(&format!("{} in the guest", suite.name), outcome);
            }
        }
        Err(error) => {
            progress::line(&format!("{error:#}"));
            let left: usize = parts.iter().map(|part| part.tests.len()).sum();
            tally.bad.push(format!("the guest kernel, with {left} tests that need it"));
        }
    }
}
