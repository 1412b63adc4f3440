//! What the tests need before the first of them runs: packages, programs that are not ours, and builds of ours.

use std::path::PathBuf;

use super::selection::Selection;
use super::suite::{self, Suite};
use super::tally::Tally;
use crate::{build, packages, progress};

/// What was built.
pub(super) struct Built {
    pub(super) executables: Vec<(&'static str, PathBuf)>,
    pub(super) suites: Vec<Suite>,
    /// The tests that need the cluster, when they are asked for.
    pub(super) of_cluster: Option<Suite>,
}

/// The executables have another target folder than the tests, so cargo builds both at the same time.
pub(super) fn all(selection: &Selection, tally: &mut Tally) -> anyhow::Result<Built> {
    packages::for_test()?;
    let fast = || progress::watched("both executables, static", build::fast);
    let (pair, rest) = progress::beside(fast, || others(selection));
    let (pair, mut built) = (pair?, rest?);
    built.executables.push(("MANIFOLD_EXECUTABLE", pair.shim));
    built.executables.push(("MANIFOLD_CONTROLLER", pair.controller));
    if let Err(wrong) = check_existing_release() {
        progress::line(&format!("{wrong:#}"));
        tally.bad.push("size of the release executable".to_owned());
    }
    Ok(built)
}

fn others(selection: &Selection) -> anyhow::Result<Built> {
    programs(selection)?;
    let suites = progress::step("test executables", || suite::all(selection))?;
    let crash = progress::watched("executable with crash points", build::with_crash_points)?;
    let executables = vec![("MANIFOLD_CRASH_EXECUTABLE", crash)];
    let of_cluster = selection.wants_cluster().then(suite::of_cluster).transpose()?;
    Ok(Built { executables, suites, of_cluster })
}

/// A release is built for images and benchmarks, not for tests; one that is there already is held to its promises.
fn check_existing_release() -> anyhow::Result<()> {
    match build::existing_release() {
        Some(path) => build::check_release(&path),
        None => Ok(()),
    }
}

/// Programs that are not ours, built at pinned versions.
fn programs(selection: &Selection) -> anyhow::Result<()> {
    use manifold_e2e::helm::{Generation, Helm};
    progress::watched("control plane (etcd, kube-apiserver, kubectl in one executable; cached)", |detail| {
        manifold_e2e::cluster_binary::cluster_binary(&mut |step| detail.say(step)).map(drop)
    })?;
    progress::watched("whereabouts, an IPAM plugin that is not ours (cached)", |detail| {
        manifold_e2e::whereabouts::executable(&mut |step| detail.say(step)).map(drop)
    })?;
    progress::watched("Helm 3 and 4 (cached)", |detail| {
        let ensure = |generation| Helm::ensure(generation, &mut |step| detail.say(step)).map(drop);
        ensure(Generation::Three).and_then(|()| ensure(Generation::Four))
    })?;
    if selection.wants_cluster() { packages::for_cluster() } else { Ok(()) }
}
