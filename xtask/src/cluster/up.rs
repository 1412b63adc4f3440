//! Starting the cluster, a step at a time.

use std::time::Instant;

use manifold_e2e::cluster::{Cluster, Executables, Place};
use manifold_e2e::cluster_binary::cluster_binary;
use manifold_e2e::helm::{Generation, Helm};

use super::tell_how;
use crate::{build, packages, progress};

#[derive(clap::Args, Debug, Default)]
#[group(id = "how-to-start")]
pub(crate) struct Options {
    /// How many nodes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
    /// Nothing is installed: the nodes stay NotReady until something brings them a network
    #[arg(long)]
    pub(crate) bare: bool,
    /// Manifold is put on the nodes without the chart and without its controller
    #[arg(long, conflicts_with = "bare")]
    pub(crate) by_hand: bool,
    /// A value of the chart, as Helm takes it; more than once
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<()> {
    run_with(place, options, executables)
}

/// The same with executables that are asked for only where the cluster has to be started.
pub(crate) fn run_with(
    place: &Place,
    options: &Options,
    executables: impl FnOnce() -> anyhow::Result<Executables>,
) -> anyhow::Result<()> {
    let _lock = Cluster::lock(place)?;
    let begin = Instant::now();
    let cluster = match Cluster::at(place) {
        Ok(cluster) => cluster,
        Err(_) => start(place, options, executables)?,
    };
    if !options.bare {
        progress::step("nodes ready", || cluster.wait_ready())?;
    }
    progress::line(&format!("The cluster is up ({}).", progress::seconds(begin.elapsed())));
    tell_how(&cluster);
    Ok(())
}

fn start(
    place: &Place,
    options: &Options,
    executables: impl FnOnce() -> anyhow::Result<Executables>,
) -> anyhow::Result<Cluster> {
    packages::for_cluster()?;
    progress::watched("Kubernetes in one executable (cached; about ten minutes the first time)", |detail| {
        cluster_binary(&mut |step| detail.say(step)).map(drop)
    })?;
    let count = usize::from(options.nodes);
    let cluster = progress::step("machines, wires, keys, images", || Cluster::make_machines(place, count))?;
    progress::step("control plane", || cluster.control_plane().start())?;
    progress::step("nodes: containerd, kubelet, kube-proxy", || cluster.start_nodes())?;
    progress::step("nodes registered", || cluster.route_control_plane())?;
    if options.by_hand {
        let executables = executables()?;
        progress::step("Manifold by hand", || cluster.install_by_hand(&executables))?;
        progress::step("Manifold ready", || cluster.wait_by_hand())?;
    } else if !options.bare {
        install(&cluster, &options.set, &executables()?)?;
    }
    Ok(cluster)
}

/// The images and the chart, and what they bring about.
fn install(cluster: &Cluster, values: &[String], executables: &Executables) -> anyhow::Result<()> {
    progress::watched("Helm (cached; some minutes the first time)", |detail| {
        Helm::ensure(Generation::Four, &mut |step| detail.say(step)).map(drop)
    })?;
    progress::step("images of Manifold on every node", || cluster.load(executables))?;
    let flags: Vec<&str> = values.iter().flat_map(|value| ["--set", value.as_str()]).collect();
    progress::step("helm install", || cluster.install(&flags))?;
    progress::step("Manifold ready", || cluster.wait_installed())
}

/// Those that the environment names, or fresh builds of the profile `fast`.
fn executables() -> anyhow::Result<Executables> {
    if let (Some(shim), Some(controller)) = (build::given()?, build::given_controller()?) {
        return Ok(Executables { shim, controller });
    }
    let built = progress::watched("`manifold` and `manifold-controller`, static", build::fast)?;
    Ok(Executables {
        shim: build::given()?.unwrap_or(built.shim),
        controller: build::given_controller()?.unwrap_or(built.controller),
    })
}

/// Those that the environment names, or the link-time optimised builds that users get: for measurements.
pub(crate) fn release_executables() -> anyhow::Result<Executables> {
    let shim = match build::given()? {
        Some(shim) => shim,
        None => progress::watched("`manifold`, static, link-time optimised", build::release)?,
    };
    let what = "`manifold-controller`, static, link-time optimised";
    let controller = match build::given_controller()? {
        Some(controller) => controller,
        None => progress::watched(what, build::release_controller)?,
    };
    Ok(Executables { shim, controller })
}
