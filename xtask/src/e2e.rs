//! `cargo xtask e2e`: what users are promised, on a real cluster, with the time of each test.
//!
//! One test after another: some of them switch off what others need. Those that make a cluster of their own run beside
//! them. A cluster that is up is used and left up.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use manifold_e2e::cluster::{Cluster, Place, VARIABLE};

use crate::cluster::{self, up};
use crate::test::suite::{self, Executables, Suite};
use crate::test::tally::Tally;
use crate::{able, progress};

/// How `cargo xtask test --only` names these tests.
pub(crate) const SUITE: &str = "cluster";
/// Modules whose tests make a cluster of their own beside the first, of which they take only the images.
const ON_THEIR_OWN: [&str; 3] = ["foreign::", "rivals::", "takeover::"];
/// By which the tests know the program.
const MULTUS: &str = "MANIFOLD_MULTUS";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Leaves the cluster up
    #[arg(long)]
    keep: bool,
    /// The executable of a Multus 4 (thin), which takes part in the test of the take-over; else `MANIFOLD_MULTUS`
    #[arg(long, value_name = "PATH")]
    multus: Option<PathBuf>,
    #[command(flatten)]
    cluster: up::Options,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    able::check("e2e")?;
    let place = Place::of_environment();
    let begin = Instant::now();
    let was_up = Cluster::at(&place).is_ok();
    up::run(&place, &options.cluster)?;
    let suite = progress::step("tests", suite::of_cluster)?;
    let mut tally = Tally::default();
    let environment = environment(&place, options.multus.as_deref())?;
    each(&suite, &environment, options.filter.as_deref(), &mut tally)?;
    if !was_up && !options.keep {
        cluster::down(&place)?;
    }
    tally.tell();
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    progress::line(&format!("{} passed, {} failed", tally.good, tally.bad.len()));
    match (tally.bad.is_empty(), tally.good) {
        (true, 1..) => Ok(()),
        (true, 0) => bail!("no test has such a name"),
        _ => bail!("some tests failed; see what they said above"),
    }
}

/// The same as a part of `cargo xtask test`, on a cluster of its own that is taken away in the end.
pub(crate) fn in_test(
    suite: &Suite,
    built: &Executables,
    filter: Option<&str>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    // By its name the leak oracle of the suites beside it knows whose its namespaces are.
    let folder = format!("{}{}", manifold_e2e::netns::PREFIX, std::process::id());
    let place = Place::at(&std::env::temp_dir().join(folder));
    let executables = || cluster_executables(built);
    let outcome = up::run_with(&place, &up::Options { nodes: 2, ..up::Options::default() }, executables)
        .and_then(|()| each(suite, &environment(&place, None)?, filter, tally));
    outcome.and(cluster::down(&place))
}

/// Those of the test run, for the cluster's images.
fn cluster_executables(built: &Executables) -> anyhow::Result<manifold_e2e::cluster::Executables> {
    let find = |variable| {
        let found = built.iter().find(|(name, _)| *name == variable).map(|(_, path)| path.clone());
        found.with_context(|| format!("the test run built no executable for {variable}"))
    };
    Ok(manifold_e2e::cluster::Executables {
        shim: find("MANIFOLD_EXECUTABLE")?,
        controller: find("MANIFOLD_CONTROLLER")?,
    })
}

/// What the tests are told by variables.
fn environment(place: &Place, multus: Option<&Path>) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut all = vec![(VARIABLE, place.folder().to_owned())];
    if let Some(path) = multus {
        let whole = path.canonicalize().with_context(|| format!("there is no `{}`", path.display()))?;
        all.push((MULTUS, whole));
    }
    Ok(all)
}

/// One after another on the first cluster, and beside them those that have one of their own.
fn each(
    suite: &Suite,
    environment: &Executables,
    filter: Option<&str>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let is_apart = |name: &String| ON_THEIR_OWN.iter().any(|module| name.starts_with(module));
    let (apart, together): (Vec<_>, Vec<_>) = names(suite, filter)?.into_iter().partition(is_apart);
    let run = |names: Vec<String>| {
        let mut tally = Tally::default();
        names.iter().for_each(|name| told(suite, environment, name, &mut tally));
        tally
    };
    let (apart, together) = progress::beside(|| run(apart), || run(together));
    tally.join(apart);
    tally.join(together);
    Ok(())
}

/// Runs a test. The next one is run whatever comes of it.
fn told(suite: &Suite, environment: &Executables, name: &str, tally: &mut Tally) {
    let before = tally.bad.len();
    let outcome = progress::step(name, || one(suite, environment, name, tally));
    // A test that failed has been told; that it could not be run at all, not yet.
    if let Err(wrong) = outcome
        && tally.bad.len() == before
    {
        tally.bad.push(format!("on the cluster {name}: {wrong:#}"));
    }
}

fn one(suite: &Suite, environment: &Executables, name: &str, tally: &mut Tally) -> anyhow::Result<()> {
    let before = tally.bad.len();
    let mut outcome =
        suite.outcome(suite.command().args(["--exact", name]).envs(environment.iter().cloned()))?;
    for (test, variable) in std::mem::take(&mut outcome.to_be_given) {
        suite.run_given(&test, &variable, environment, tally)?;
    }
    tally.add("on the cluster", outcome);
    ensure!(tally.bad.len() == before, "it failed");
    Ok(())
}

fn names(suite: &Suite, filter: Option<&str>) -> anyhow::Result<Vec<String>> {
    let out =
        suite.command().args(["--list", "--format", "terse"]).output().context("cannot run the tests")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let all = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(all.filter(|name| filter.is_none_or(|f| name.contains(f))).map(str::to_owned).collect())
}
