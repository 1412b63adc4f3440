//! Starting the cluster, a step at a time.

use std::path::PathBuf;
use std::time::Instant;

use manifold_e2e::cluster::{Cluster, Place};
use manifold_e2e::cluster_binary::cluster_binary;

use super::tell_how;
use crate::{build, packages, progress};

#[derive(clap::Args, Debug, Default)]
pub(crate) struct Options {
    /// How many nodes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
    /// Nothing is installed: the nodes stay NotReady until something brings them a network
    #[arg(long)]
    pub(crate) bare: bool,
}

pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<()> {
    let _lock = Cluster::lock(place)?;
    let begin = Instant::now();
    let cluster = match Cluster::at(place) {
        Ok(cluster) => cluster,
        Err(_) => start(place, options)?,
    };
    if !options.bare {
        progress::step("nodes ready", || cluster.wait_ready())?;
    }
    progress::line(&format!("The cluster is up ({}).", progress::seconds(begin.elapsed())));
    tell_how(&cluster);
    Ok(())
}

fn start(place: &Place, options: &Options) -> anyhow::Result<Cluster> {
    packages::for_cluster()?;
    progress::watched("Kubernetes in one executable (cached; about ten minutes the first time)", |detail| {
        cluster_binary(&mut |step| detail.say(step)).map(drop)
    })?;
    let count = usize::from(options.nodes);
    let cluster = progress::step("machines, wires, keys, images", || Cluster::make_machines(place, count))?;
    progress::step("control plane", || cluster.control_plane().start())?;
    progress::step("nodes: containerd, kubelet, kube-proxy", || cluster.start_nodes())?;
    progress::step("nodes registered", || cluster.route_control_plane())?;
    if !options.bare {
        let executable = executable()?;
        progress::step("Manifold", || cluster.install_by_hand(&executable))?;
    }
    Ok(cluster)
}

/// The one that is given, or a fresh build.
fn executable() -> anyhow::Result<PathBuf> {
    match build::given()? {
        Some(executable) => Ok(executable),
        None => progress::watched("`manifold`, static, link-time optimised", build::release),
    }
}
