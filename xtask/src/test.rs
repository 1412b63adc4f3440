//! `cargo xtask test`: everything that must hold, in one run, with the time of each part.
//!
//! Two lanes run beside each other, for each of them waits a good deal: the controller's suites and then the real cluster;
//! all other suites and then the guest kernel.

mod arm64;
mod changed;
mod durations;
mod in_guest;
mod prepare;
mod selection;
pub(crate) mod suite;
pub(crate) mod tally;
mod verdict;

use std::time::Instant;

use manifold_e2e::guest;

use crate::build::timings;
use crate::{able, build, conformance, e2e, progress};
use in_guest::Part;
use prepare::Built;
use selection::Selection;
use suite::{Executables, Suite, report};
use tally::Tally;

/// Suites that would be the longest of the other lane.
const CONTROLLER: &str = "controller";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only test executables whose package or name contains this; `cluster` is for those on the real cluster
    #[arg(long)]
    only: Option<String>,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Only suites that the files which differ from a revision can affect
    #[arg(long, value_name = "REV", num_args = 0..=1, default_missing_value = "HEAD", conflicts_with = "only")]
    changed: Option<String>,
    /// Says at the end where the time of the builds went
    #[arg(long)]
    timings: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    able::check("test")?;
    progress::line("Preparing");
    let selection = Selection::from_options(options)?;
    timings::collect(options.timings);
    let mut tally = Tally::default();
    let built = prepare::all(options, &selection, &mut tally)?;
    progress::line("Testing");
    let (on_host, of_controller) =
        progress::beside(|| host_lane(&built, options), || controller_lane(&built, options));
    tally.join(on_host?);
    tally.join(of_controller?);
    let survey = conformance::Survey::read(&build::root())?;
    progress::line(&survey.total());
    let is_whole = selection.is_everything() && options.filter.is_none();
    let passed = is_whole.then_some(&tally.passed);
    let claims = survey.verify(passed).and_then(|()| survey.verify_types(&build::root(), passed));
    tally.tell();
    tally.durations.print();
    if options.timings {
        timings::print();
    }
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    if let Err(wrong) = &claims {
        progress::line(&format!("{wrong:#}"));
    }
    let failed = tally.bad.len() + usize::from(claims.is_err());
    progress::line(&format!("{} passed, {failed} failed, {} skipped", tally.good, tally.skipped.len()));
    let is_empty = tally.good == 0 && options.changed.is_none();
    if failed > 0 || is_empty { std::process::exit(1) } else { Ok(()) }
}

/// All suites but the controller's, and what they leave to the guest kernel.
fn host_lane(built: &Built, options: &Options) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let suites = built.suites.iter().filter(|suite| !suite.name.starts_with(CONTROLLER));
    let parts = run_suites(suites, built, options, &mut tally)?;
    run_in_guest(parts, &built.executables, &mut tally);
    Ok(tally)
}

fn controller_lane(built: &Built, options: &Options) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let suites = built.suites.iter().filter(|suite| suite.name.starts_with(CONTROLLER));
    run_suites(suites, built, options, &mut tally)?;
    if let Some(suite) = &built.of_cluster {
        // A cluster that does not start is a failure like any other: the rest of the run is still told.
        if let Err(wrong) = e2e::in_test(suite, &built.executables, options.filter.as_deref(), &mut tally) {
            progress::line(&format!("{wrong:#}"));
            tally.bad.push("the tests on the cluster".to_owned());
        }
    }
    Ok(tally)
}

/// The tests of a suite that only the guest kernel can run.
type ForGuest<'a> = (&'a Suite, Vec<String>);

fn run_suites<'a>(
    suites: impl Iterator<Item = &'a Suite>,
    built: &Built,
    options: &Options,
    tally: &mut Tally,
) -> anyhow::Result<Vec<ForGuest<'a>>> {
    let mut parts = Vec::new();
    for suite in suites {
        let mut outcome = suite.run(&built.executables, options.filter.as_deref())?;
        for (test, variable) in std::mem::take(&mut outcome.to_be_given) {
            suite.run_given(&test, &variable, &built.executables, tally)?;
        }
        let tests = std::mem::take(&mut outcome.for_guest);
        if !tests.is_empty() {
            parts.push((suite, tests));
        }
        tally.add(&suite.name, outcome);
    }
    Ok(parts)
}

/// A guest that does not boot is a failure like any other: the rest of the run is still told.
fn run_in_guest(parts: Vec<ForGuest<'_>>, executables: &Executables, tally: &mut Tally) {
    if parts.is_empty() {
        return;
    }
    let (suites, parts): (Vec<&Suite>, Vec<Part<'_>>) = parts
        .into_iter()
        .map(|(suite, tests)| (suite, Part { folder: &suite.folder, executable: &suite.path, tests }))
        .unzip();
    let ran = progress::watched("guest kernel: QEMU and a kernel (cached)", |detail| {
        guest::ensure(&mut |step| detail.say(step))
    })
    .and_then(|_| progress::step("guest kernel: boot, tests and end", || in_guest::run(&parts, executables)));
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
