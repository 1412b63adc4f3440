//! `cargo xtask bench cluster`: how long pods take to start on a real cluster, and what their networks cost there.
//!
//! A cluster of one node with kubelet and containerd is made anew for each row and round, so that no row meets what
//! another one left; rows take turns. After a warm-up, in which memory is read, all pods are made at once; a pod's time is
//! from before its POST until a watch says that it is ready. The kubelet looks at its pods once a second, so single pods
//! would tell little: what one ADD costs is measured by `cargo xtask bench`.
//!
//! Every row has the same default network, bridge and portmap. What a row adds is told beside the row of the same plugins
//! that has the default network alone.

mod cost;
mod install;
mod memory;
mod multus;
mod report;
mod storm;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use manifold_e2e::cluster::{Cluster, Executables, Place, VARIABLE};
use manifold_e2e::cluster_binary::cluster_binary;
use manifold_e2e::helm::{Generation, Helm};

use super::peers::Peers;
use super::{absolute, not_measured};
use crate::cluster::up;
use crate::progress::{self, Detail};
use crate::{able, packages};
use install::Bed;
use report::{Measured, Round};
use subject::{Kind, Meta, Plugins, Subject};

/// Where the cluster lies, unless another place is named.
const FOLDER: &str = "/var/lib/manifold-bench";
/// Pods of the warm-up.
const WARM: usize = 16;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many pods are made at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=200))]
    pods: u8,
    /// How often each row is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// The networks of each pod beside the default one
    #[arg(long, value_delimiter = ',', default_value = "bridge,macvlan")]
    kinds: Vec<Kind>,
    #[command(flatten)]
    peers: Peers,
    /// Only rows of these plugins
    #[arg(long, value_delimiter = ',', default_value = "reference,ours")]
    plugins: Vec<Plugins>,
    /// A value of the chart, as Helm takes it; more than once
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What every row is made from.
struct Parts {
    place: Place,
    executables: Executables,
    reference: PathBuf,
    multus: Option<PathBuf>,
    /// Shim and daemon.
    thick: Option<(PathBuf, PathBuf)>,
    kinds: Vec<Kind>,
    values: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    able::check("bench cluster")?;
    progress::heading("Preparing");
    let parts = prepare(options)?;
    let _lock = Cluster::lock(&parts.place)?;
    ensure!(
        Cluster::at(&parts.place).is_err(),
        "a cluster is up in `{}`; take it down, or name another folder by {VARIABLE}",
        parts.place.folder().display()
    );
    progress::heading("Measuring");
    let measured = measure(options, &parts);
    let down = progress::step("taking the cluster away", || Cluster::down(&parts.place));
    down?;
    progress::line("");
    let all_well = report::print(&measured, options.pods.into(), &parts.kinds);
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    if all_well { Ok(()) } else { bail!("not every pod of ours started with every network; see above") }
}

fn prepare(options: &Options) -> anyhow::Result<Parts> {
    packages::for_cluster()?;
    progress::watched("Kubernetes in one executable (cached; about ten minutes the first time)", |detail| {
        cluster_binary(&mut |step| detail.say(step)).map(drop)
    })?;
    progress::watched("Helm (cached; some minutes the first time)", |detail| {
        Helm::ensure(Generation::Four, &mut |step| detail.say(step)).map(drop)
    })?;
    let named = std::env::var_os(VARIABLE).filter(|set| !set.is_empty());
    let whole = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    Ok(Parts {
        place: Place::at(&named.map_or_else(|| PathBuf::from(FOLDER), PathBuf::from)),
        executables: up::release_executables()?,
        reference: absolute(&options.peers.cni_path)?,
        multus: whole(&options.peers.multus)?,
        thick: whole(&options.peers.multus_shim)?.zip(whole(&options.peers.multus_daemon)?),
        kinds: options.kinds.clone(),
        values: options.set.clone(),
    })
}

/// Rows take turns, so that what the machine does meanwhile meets all of them.
fn measure(options: &Options, parts: &Parts) -> Vec<Measured> {
    let mut all: Vec<Measured> = subjects(options, parts).into_iter().map(Measured::new).collect();
    for number in 1..=options.rounds {
        for row in all.iter_mut().filter(|row| !row.is_broken) {
            let what = format!("round {number}: {}", row.subject);
            match progress::watched(&what, |detail| round(parts, row.subject, options.pods.into(), detail)) {
                Ok(round) => row.rounds.push(round),
                // One that cannot be measured does not cost what was measured beside it.
                Err(error) => {
                    not_measured(&what, &format!("{error:#}"));
                    row.is_broken = true;
                }
            }
        }
    }
    all
}

fn subjects(options: &Options, parts: &Parts) -> Vec<Subject> {
    let mut metas = vec![Meta::None, Meta::Manifold];
    match parts.multus {
        Some(_) => metas.push(Meta::Thin),
        None => not_measured("Multus, thin", "give --multus PATH to compare with it"),
    }
    match parts.thick {
        Some(_) => metas.push(Meta::Thick),
        None => {
            not_measured("Multus, thick", "give --multus-shim PATH --multus-daemon PATH to compare with it");
        }
    }
    let of = |plugins: Plugins| metas.iter().map(move |meta| Subject { meta: *meta, plugins });
    options.plugins.iter().flat_map(|plugins| of(*plugins)).collect()
}

/// One row, on a cluster of its own.
fn round(parts: &Parts, subject: Subject, pods: usize, detail: &Detail) -> anyhow::Result<Round> {
    let bed = Bed::start(parts, subject, detail)?;
    let watched = bed.watched()?;
    detail.say("warm-up");
    let memory = memory::peak_while(&watched, || {
        let warm = storm::start(&bed, "warm", WARM)?;
        storm::delete(&bed, "warm", WARM)?;
        ensure!(warm.failed == 0, "{} of {WARM} pods of the warm-up lack a network", warm.failed);
        Ok(())
    })?;
    storm::settle();
    let before = watched.cost()?;
    detail.say("pods start");
    let started = storm::start(&bed, "pod", pods)?;
    detail.say("pods end");
    let deleted = storm::delete(&bed, "pod", pods)?;
    // What daemons do after they have answered counts too.
    storm::settle();
    let cost = watched.cost()?.since(before);
    Cluster::down(&parts.place).context("the cluster cannot be taken away")?;
    Ok(Round { times: started.times, took: started.took, deleted, failed: started.failed, cost, memory })
}

/// Copies plugins to where a node has them.
fn copy_plugins(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    let entries = std::fs::read_dir(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name()))
            .with_context(|| format!("cannot copy `{}`", entry.path().display()))?;
    }
    Ok(())
}
