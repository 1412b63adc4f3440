//! What the tests need before the first of them runs: packages, programs that are not ours, and builds of ours.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Options;
use super::suite::{self, Suite};
use super::tally::Tally;
use crate::{build, packages, progress};

/// The size a node is asked to hold, of the release executable. Bytes.
const MOST_BYTES: u64 = 12 * 1024 * 1024;

/// What was built.
pub(super) struct Built {
    pub(super) executables: Vec<(&'static str, PathBuf)>,
    pub(super) suites: Vec<Suite>,
    /// The tests that need the cluster, when they are asked for.
    pub(super) of_cluster: Option<Suite>,
}

/// Link-time optimisation keeps one processor busy for minutes, so everything else is made beside it.
pub(super) fn all(options: &Options, tally: &mut Tally) -> anyhow::Result<Built> {
    packages::for_test()?;
    let (release, rest) = progress::beside(released, || others(options, tally));
    let (release, mut built) = (release?, rest?);
    built.executables.push(("MANIFOLD_EXECUTABLE", release));
    Ok(built)
}

fn others(options: &Options, tally: &mut Tally) -> anyhow::Result<Built> {
    programs(options)?;
    let crash = progress::watched("executable with crash points", build::with_crash_points)?;
    let controller = progress::watched("the controller", build::controller_for_tests)?;
    if options.only.is_none()
        && let Err(wrong) = progress::step("lints", lints)
    {
        progress::line(&format!("{wrong:#}"));
        tally.bad.push("lints".to_owned());
    }
    Ok(Built {
        executables: vec![("MANIFOLD_CRASH_EXECUTABLE", crash), ("MANIFOLD_CONTROLLER", controller)],
        suites: progress::step("test executables", || suite::all(options.only.as_deref()))?,
        of_cluster: options.wants_cluster().then(suite::of_cluster).transpose()?,
    })
}

/// `manifold` as users get it. The controller's own is built when the cluster wants it, beside the other lane.
fn released() -> anyhow::Result<PathBuf> {
    let shim = progress::watched("release executable, static, link-time optimised", build::release)?;
    check_size(&shim)?;
    Ok(shim)
}

/// Programs that are not ours, built at pinned versions.
fn programs(options: &Options) -> anyhow::Result<()> {
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
    if options.wants_cluster() { packages::for_cluster() } else { Ok(()) }
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
    build::quietly(["fmt", "--all", "--check"])?;
    // The tests of the cluster are no target of a plain `cargo test`, so "all" leaves them out.
    for targets in [&["--all-targets"][..], &["--test", "cluster"]] {
        let words =
            ["clippy", "--workspace", "--quiet"].iter().chain(targets).chain(&["--", "-D", "warnings"]);
        build::quietly(words)?;
    }
    Ok(())
}
