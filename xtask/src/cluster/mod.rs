//! `cargo xtask cluster up | down | status`: a real cluster on this machine, two nodes with kubelet and containerd.

pub(crate) mod up;

use clap::Subcommand;
use manifold_e2e::cluster::{Cluster, Place, VARIABLE};

use crate::{able, progress};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts it, with Manifold installed; one that is up is left as it is
    Up(up::Options),
    /// Takes all of it away: processes, namespaces, mounts, cgroups, files
    Down,
    /// Says which parts run, and what the nodes say of themselves
    Status,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    able::check("cluster")?;
    let place = Place::of_environment();
    match &options.verb {
        Verb::Up(options) => up::run(&place, options),
        Verb::Down => down(&place),
        Verb::Status => status(&place),
    }
}

pub(crate) fn down(place: &Place) -> anyhow::Result<()> {
    let _lock = Cluster::lock(place)?;
    progress::step("taking the cluster away", || Cluster::down(place))
}

fn status(place: &Place) -> anyhow::Result<()> {
    let cluster = Cluster::at(place)?;
    let mut lines: Vec<(String, bool)> =
        ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
            .iter()
            .map(|name| ((*name).to_owned(), cluster.control_plane().daemon(name).is_running()))
            .collect();
    for node in cluster.nodes() {
        for name in ["containerd", "kubelet", "kube-proxy"] {
            lines.push((format!("{name} on {}", node.name()), node.daemon(name).is_running()));
        }
    }
    for (name, runs) in lines {
        progress::line(&format!(
            "  {name:<26} {}",
            progress::verdict(runs, if runs { "runs" } else { "does not run" })
        ));
    }
    progress::line(&cluster.kubectl(&["get", "nodes", "-o", "wide"])?);
    progress::line(&cluster.kubectl(&["get", "pods", "--all-namespaces", "-o", "wide"])?);
    tell_how(&cluster);
    Ok(())
}

/// The commands that a person needs next.
fn tell_how(cluster: &Cluster) {
    let path = |name: &str| cluster.command_path(name).display().to_string();
    progress::line(&format!("kubectl:      {} get pods -A", path("kubectl")));
    progress::line(&format!("on a node:    {} ip address", path("node1")));
    progress::line(&format!("logs:         {}/log", cluster.place().folder().display()));
    progress::line(&format!("another one:  {VARIABLE}=FOLDER cargo xtask cluster up"));
}
