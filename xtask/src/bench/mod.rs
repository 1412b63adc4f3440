//! `cargo xtask bench`: what an ADD and a DEL cost through a real API server, beside the floors and beside peers.
//!
//! `e2e/bench/bench_meta.py` measures; its header says how. Here its bed is made, and what it found becomes one table
//! and the project's aims, each met or missed. A column that is not measured is told, never left out in silence.
//! `bench controller` measures the controller instead, in `controller/`; `bench plugins` each plugin alone; `bench
//! cluster` the start of pods on a whole cluster.

mod bed;
pub(crate) mod cluster;
pub(crate) mod controller;
mod entry;
mod goals;
mod peers;
pub(crate) mod plugins;
mod report;
mod results;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::{able, build, packages, progress};
use bed::Bed;
use peers::Peers;
use results::{Floors, Run};

#[derive(clap::Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// Few rounds: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    peers: Peers,
    /// How many secondary networks a pod has
    #[arg(long, default_value = "0,1,2,4,8,16")]
    counts: String,
    #[arg(long, default_value = "macvlan,bridge")]
    kinds: String,
    /// How many pods at once
    #[arg(long, default_value = "1,4,16,64")]
    parallel: String,
    /// Seconds to wait for an idle machine before each batch
    #[arg(long, default_value_t = 0)]
    quiet: u32,
    /// Keeps what was measured, and the driver's log, in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Measures the controller: memory, requests and delay with many pods
    Controller(controller::Options),
    /// Measures how long pods take to start on a real cluster, and what their networks cost there
    Cluster(cluster::Options),
    /// Measures each bundled plugin alone, under its own name, beside the reference's
    Plugins(plugins::Options),
}

impl Options {
    /// The words that bound a run of the driver.
    fn extent(&self) -> Vec<String> {
        let (iterations, pods, pace) = if self.quick { ("5", "16", "0.02") } else { ("30", "128", "0.15") };
        let pairs = [
            ("--kinds", self.kinds.as_str()),
            ("--counts", &self.counts),
            ("--parallel", &self.parallel),
            ("--iters", iterations),
            ("--par-pods", pods),
            ("--pace", pace),
        ];
        let words = pairs.into_iter().flat_map(|(key, value)| [key.to_owned(), value.to_owned()]);
        words.chain(self.patience()).collect()
    }

    /// How often a batch is repeated that others disturbed, and how long is waited for silence.
    fn patience(&self) -> [String; 4] {
        let retries = if self.quick { "0" } else { "2" };
        ["--retries".into(), retries.into(), "--quiet".into(), self.quiet.to_string()]
    }

    fn iterations(&self) -> u64 {
        if self.quick { 5 } else { 30 }
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.what {
        Some(What::Controller(options)) => return controller::run(options),
        Some(What::Cluster(options)) => return cluster::run(options),
        Some(What::Plugins(options)) => return plugins::run(options),
        None => {}
    }
    let begin = Instant::now();
    able::check("bench")?;
    progress::heading("Preparing");
    packages::for_bench()?;
    let executable = match build::given()? {
        Some(given) => given,
        None => progress::watched("release executable, static, link-time optimised", build::release)?,
    };
    let bed = progress::watched("API server, in a network namespace of its own", Bed::start)?;
    progress::heading("Measuring");
    let outcome = measure(options, &bed, &executable);
    if let Some(folder) = &options.keep {
        bed.keep(folder)?;
    }
    let (floors, runs) = outcome?;
    progress::line("");
    report::print(&floors, &runs);
    let all_well = goals::print(&goals::judge(&floors, &runs, options.iterations()));
    if options.quick {
        progress::line("These are few rounds (--quick): they show that it works, not how fast it is.");
    }
    progress::line(&format!("Took {}", progress::seconds(begin.elapsed())));
    if all_well { Ok(()) } else { bail!("some calls failed; see above") }
}

/// The first run is ours, peers follow.
fn measure(options: &Options, bed: &Bed, manifold: &Path) -> anyhow::Result<(Floors, Vec<Run>)> {
    bed.driver("definitions and rights", &["setup", "--kubeconfig", &bed.kubeconfig()])?;
    let floors = floors_below_the_api(options, bed)?;
    let mut runs = vec![meta(options, bed, "manifold", manifold, &[])?];
    let floors = floors.with_api(bed)?;
    match &options.peers.multus {
        Some(path) => {
            runs.extend(peer("Multus, thin", || meta(options, bed, "multus", &absolute(path)?, &[])));
        }
        None => not_measured("Multus, thin", "give --multus PATH to compare with it"),
    }
    match options.peers.multus_shim.as_deref().zip(options.peers.multus_daemon.as_deref()) {
        Some((shim, daemon)) => runs.extend(peer("Multus, thick", || {
            let daemon = entry::daemon_words(bed, &absolute(daemon)?)?;
            meta(options, bed, "multus-thick", &absolute(shim)?, &daemon)
        })),
        None => {
            not_measured("Multus, thick", "give --multus-shim PATH --multus-daemon PATH to compare with it");
        }
    }
    Ok((floors, runs))
}

/// A peer that cannot be measured does not cost what was measured before it.
fn peer(what: &str, measure: impl FnOnce() -> anyhow::Result<Run>) -> Option<Run> {
    measure().inspect_err(|error| not_measured(what, &format!("{error:#}"))).ok()
}

fn not_measured(what: &str, why: &str) {
    let mark = progress::verdict(false, "NOT MEASURED");
    progress::line(&format!("  {what}: {mark}; {why}"));
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("`{}` cannot be run", path.display()))
}

fn floors_below_the_api(options: &Options, bed: &Bed) -> anyhow::Result<Floors> {
    let patience = options.patience();
    let iterations = if options.quick { ["20", "5"] } else { ["200", "40"] };
    let [exec, netlink] = iterations;
    let with = |words: &[&str], file: &str| -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(["--json".to_owned(), bed.file(file)]).chain(patience.iter().cloned()).collect()
    };
    bed.driver("floor: exec of a static program", &with(&["exec", "--iters", exec], "exec.json"))?;
    let counts = format!("1,{}", options.counts);
    let words = with(&["floor", "--iters", netlink, "--counts", &counts], "netlink.json");
    bed.driver("floor: raw netlink", &words)?;
    Floors::read(bed)
}

/// One executable under the whole programme.
fn meta(options: &Options, bed: &Bed, name: &str, executable: &Path, more: &[String]) -> anyhow::Result<Run> {
    let template = entry::write(bed, name)?;
    let results = bed.file(&format!("{name}.json"));
    let words: Vec<String> = ["meta", "--name", name, "--bin", &executable.display().to_string()]
        .into_iter()
        .chain(["--conf", &template, "--cni-path", &options.peers.cni_path.display().to_string()])
        .chain(["--kubeconfig", &bed.kubeconfig(), "--json", &results])
        .map(str::to_owned)
        .chain(bed.watched())
        .chain(options.extent())
        .chain(more.iter().cloned())
        .collect();
    bed.driver(&format!("{name}: {}", executable.display()), &words)?;
    Run::read(&results)
}
