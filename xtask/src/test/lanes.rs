//! What runs beside what. Each lane waits a good deal, so that two cores carry three of them, and they take about the same time.

use std::sync::mpsc::{self, Receiver, Sender};

use manifold_e2e::guest;

use super::in_guest::{self, Part};
use super::prepare::Built;
use super::selection::Selection;
use super::suite::{Executables, Suite, report};
use super::tally::Tally;
use super::{Options, arm64};
use crate::{e2e, lint, progress};

/// Suites that would be the longest of another lane.
const CONTROLLER: &str = "controller";
/// Suites with tests for the guest kernel, which is emulated where there is no KVM and then takes long. They run first, so that
/// it can boot when the cluster is gone.
const WITH_GUEST_TESTS: [&str; 4] = ["dhcp (", "e2e (it)", "net (", "plugins ("];

pub(super) fn run(
    built: &Built,
    selection: &Selection,
    options: &Options,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let (sender, for_guest) = mpsc::channel();
    let (on_host, (of_sources, on_cluster)) = progress::beside(
        move || host_lane(built, options, sender),
        move || {
            let of_cluster = move || cluster_lane(built, options, for_guest);
            progress::beside(|| source_lane(built, selection, options), of_cluster)
        },
    );
    tally.join(on_host?);
    tally.join(of_sources?);
    tally.join(on_cluster?);
    Ok(())
}

fn has_guest_tests(suite: &Suite) -> bool {
    WITH_GUEST_TESTS.iter().any(|name| suite.name.starts_with(name))
}

/// All suites that no other lane has. `for_guest` gets the tests that need the guest kernel. A failure drops it, and the
/// other lane goes on without them.
fn host_lane<'a>(
    built: &'a Built,
    options: &Options,
    for_guest: Sender<Vec<ForGuest<'a>>>,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let all =
        || built.suites.iter().filter(|s| !s.name.starts_with(CONTROLLER) && !s.name.contains(arm64::SUITE));
    let parts = run_suites(all().filter(|s| has_guest_tests(s)), &built.executables, options, &mut tally)?;
    // The other lane may have ended by a failure of its own.
    let _ = for_guest.send(parts);
    let parts = run_suites(all().filter(|s| !has_guest_tests(s)), &built.executables, options, &mut tally)?;
    run_in_guest(parts, &built.executables, &mut tally);
    Ok(tally)
}

/// The controller's suites, and then what the compiler has to say: lints, and everything once more for arm64.
fn source_lane(built: &Built, selection: &Selection, options: &Options) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let suites = built.suites.iter().filter(|suite| suite.name.starts_with(CONTROLLER));
    run_suites(suites, &built.executables, options, &mut tally)?;
    if options.only.is_none()
        && let Err(wrong) = progress::step("lints", lint::check_sources)
    {
        progress::line(&format!("{wrong:#}"));
        tally.bad.push("lints".to_owned());
    }
    if selection.covers(arm64::SUITE) {
        run_on_arm64(built, options, &mut tally)?;
    }
    Ok(tally)
}

fn run_on_arm64(built: &Built, options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let arm64 = progress::step("both executables and the tests of pure crates, for arm64", arm64::build)?;
    let executables = [(arm64::VARIABLE, arm64.executable)];
    let by_test = built.suites.iter().filter(|suite| suite.name.contains(arm64::SUITE));
    run_suites(by_test.chain(&arm64.suites), &executables, options, tally)?;
    Ok(())
}

/// The cluster's tests, and then what needs the guest kernel.
fn cluster_lane(
    built: &Built,
    options: &Options,
    for_guest: Receiver<Vec<ForGuest<'_>>>,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    if let Some(suite) = &built.of_cluster {
        // A cluster that does not start is a failure like any other: the rest of the run is still told.
        if let Err(wrong) = e2e::in_test(suite, &built.executables, options.filter.as_deref(), &mut tally) {
            progress::line(&format!("{wrong:#}"));
            tally.bad.push("the tests on the cluster".to_owned());
        }
    }
    if let Ok(parts) = for_guest.recv() {
        run_in_guest(parts, &built.executables, &mut tally);
    }
    Ok(tally)
}

/// The tests of a suite that only the guest kernel can run.
type ForGuest<'a> = (&'a Suite, Vec<String>);

fn run_suites<'a>(
    suites: impl Iterator<Item = &'a Suite>,
    executables: &Executables,
    options: &Options,
    tally: &mut Tally,
) -> anyhow::Result<Vec<ForGuest<'a>>> {
    let mut parts = Vec::new();
    for suite in suites {
        let mut outcome = suite.run(executables, options.filter.as_deref())?;
        for (test, variable) in std::mem::take(&mut outcome.to_be_given) {
            suite.run_given(&test, &variable, executables, tally)?;
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
