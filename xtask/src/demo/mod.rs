//! `cargo xtask demo`: the examples of `deploy/examples` on a machine without a cluster, from build to clean-up.
//!
//! A network namespace takes the node's place, so nothing of the machine is touched. The executable is the one that
//! users get; a small runtime calls it as containerd does; pods and networks are read from the YAML files themselves.
//! `demo addresses` shows two nodes on one wire instead.

mod addresses;
mod examples;
mod interrupt;
mod json;
mod look;
mod node;
mod ping;
mod place;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::table::Table;
use crate::{able, build, packages, progress};
use examples::Applied;
use look::Attachment;
use node::{Node, Sandbox};
use place::Place;

/// What is compared before and after, in words.
const COMPARED: &str = "links, addresses, routes, rules, neighbours, bridge entries,\n            \
                        traffic control, firewall, sysctls, processes, address leases, ledger entries";

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// Leaves the pods up, and says how to look into them
    #[arg(long)]
    keep: bool,
    /// Removes the pods that an earlier run kept, and does nothing else
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
    /// How the namespaces and the folder under /run are called
    #[arg(long, hide = true, default_value = "manifold-demo", global = true)]
    name: String,
}

#[derive(clap::Subcommand, Clone, Copy)]
enum What {
    /// Two nodes on one wire: addresses of `host-local`, then of `cluster-local`, and a node that is taken away
    Addresses,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    able::check("demo")?;
    let place = Place::new(&options.name);
    let _one_at_a_time = place.lock()?;
    if options.clean {
        return clean(&place);
    }
    if let Some(What::Addresses) = options.what {
        interrupt::watch(&place)?;
        let is_good = addresses::run(&place)?;
        return if is_good { Ok(()) } else { bail!("not everything was as it should be; see above") };
    }
    let begin = Instant::now();
    progress::heading("Manifold: pods with several networks, without a cluster\n");
    progress::heading("Preparing");
    let executable = executable()?;
    if place.clear().anything() {
        progress::line("  removed what an earlier run had left");
    }
    interrupt::watch(&place)?;
    let shown = show(&place, &executable, options.keep);
    if shown.is_err() {
        place.clear();
    }
    let all_good = shown?;
    progress::line(&format!("\nTook {}", progress::seconds(begin.elapsed())));
    if all_good { Ok(()) } else { bail!("not everything was as it should be; see above") }
}

fn executable() -> anyhow::Result<PathBuf> {
    packages::for_demo()?;
    match build::given()? {
        Some(given) => {
            progress::line(&format!("  using the executable {}", given.display()));
            Ok(given)
        }
        None => {
            progress::watched("building `manifold` (static; some minutes the first time)", build::fast_shim)
        }
    }
}

/// Attach, look, ping, detach. Whether all pings were answered and nothing was left.
fn show(place: &Place, executable: &Path, keep: bool) -> anyhow::Result<bool> {
    let node =
        progress::step("making a node: a network namespace with a second card, eth1", || Node::new(place))?;
    let applied = examples::apply(&build::root().join("deploy/examples"), &node.manifests())?;
    progress::line(&format!(
        "  reading deploy/examples: {} networks and {} pods in {}",
        applied.networks,
        applied.pods.len(),
        applied.files.join(", ")
    ));
    let sandboxes: Vec<Sandbox> =
        applied.pods.iter().map(|pod| node.sandbox(pod)).collect::<Result<_, _>>()?;
    let oracle = node.oracle(&sandboxes);
    let before = oracle.snapshot()?;

    progress::heading("\nStarting the pods: one ADD each, as a container runtime calls it");
    for sandbox in &sandboxes {
        let took =
            node.attach(executable, sandbox).with_context(|| format!("ADD of pod `{}`", sandbox.who))?;
        progress::line(&format!("  {} has its networks ({})", sandbox.who, progress::seconds(took)));
    }
    let attached = tell_pods(&node, &sandboxes)?;
    let answered = tell_pings(&sandboxes, &attached)?;
    if keep {
        drop(oracle);
        tell_kept(place, &applied);
        node.keep(sandboxes);
        return Ok(answered);
    }

    progress::heading("\nDeleting the pods: one DEL each");
    for sandbox in &sandboxes {
        let took =
            node.detach(executable, sandbox).with_context(|| format!("DEL of pod `{}`", sandbox.who))?;
        progress::line(&format!("  {} is gone ({})", sandbox.who, progress::seconds(took)));
    }
    let bridges = node.remove_bridges()?;
    progress::line(&format!("  {}, left for the next pod by design: removed here", bridges.join(" and ")));
    let left =
        progress::step("comparing node and pods with what they were before", || node.left(&oracle, &before))?;
    Ok(tell_left(&left) && answered)
}

/// For each pod its interfaces and its annotation.
fn tell_pods(node: &Node, sandboxes: &[Sandbox]) -> anyhow::Result<Vec<Vec<Attachment>>> {
    let mut all = Vec::new();
    for sandbox in sandboxes {
        progress::heading(&format!("\nPod {}", sandbox.who));
        let status = look::status(&node.manifests(), &sandbox.who)?;
        let attachments = look::attachments(&status)?;
        let mut table = Table::new(&["Interface", "Network", "Addresses", "MAC", "MTU", "Routes"]);
        for attachment in &attachments {
            let seen = look::interface(&sandbox.netns, &attachment.interface)?;
            let (interface, network) = (attachment.interface.clone(), attachment.name.clone());
            let mtu = seen.mtu.to_string();
            table.row(vec![
                vec![interface],
                vec![network],
                seen.addresses,
                vec![seen.mac],
                vec![mtu],
                seen.routes,
            ]);
        }
        table.print();
        progress::line("\n  k8s.v1.cni.cncf.io/network-status:");
        json::readable(&status).lines().for_each(|line| progress::line(&format!("  {line}")));
        all.push(attachments);
    }
    Ok(all)
}

/// From the first pod to every other, over each network. Whether every ping was answered.
fn tell_pings(sandboxes: &[Sandbox], attached: &[Vec<Attachment>]) -> anyhow::Result<bool> {
    let mut pods = sandboxes.iter().zip(attached);
    let Some((first, own)) = pods.next() else { return Ok(true) };
    let mut good = true;
    for (other, theirs) in pods {
        progress::heading(&format!("\nPings from {} to {}", first.who, other.who));
        let mut table = Table::new(&["Network", "Interface", "To", "Result"]);
        for ping in ping::all(&first.netns, own, theirs)? {
            good &= ping.answered;
            let result = progress::verdict(ping.answered, &ping.result);
            table.row(vec![
                vec![ping.network],
                vec![ping.interface],
                vec![ping.to.to_string()],
                vec![result],
            ]);
        }
        table.print();
    }
    Ok(good)
}

fn tell_left(left: &[String]) -> bool {
    if left.is_empty() {
        progress::line(&format!(
            "  {}: everything is as before.",
            progress::verdict(true, "Nothing is left")
        ));
        progress::line(&format!("  Compared: {COMPARED}."));
    } else {
        progress::line(&format!("  {}:", progress::verdict(false, "Something is left")));
        left.iter().for_each(|sentence| progress::line(&format!("    {sentence}")));
    }
    left.is_empty()
}

fn tell_kept(place: &Place, applied: &Applied) {
    progress::heading("\nThe pods stay up. Look into them:");
    for pod in &applied.pods {
        progress::line(&format!("  ip netns exec {} ip address", place.netns(&pod.name)));
    }
    progress::line(&format!("  ip netns exec {} bridge link          # the node", place.netns("node")));
    progress::line(&format!("  ls -R {}/lib/cni          # ledger and leases", place.folder().display()));
    progress::heading("Remove them:");
    progress::line("  cargo xtask demo --clean");
}

fn clean(place: &Place) -> anyhow::Result<()> {
    let cleared = place.clear();
    let words = match cleared.namespaces {
        0 if !cleared.folder => format!("There is nothing of {} to remove.", place.name()),
        n => format!("Removed {n} network namespaces and the folder {}.", place.folder().display()),
    };
    progress::line(&words);
    Ok(())
}
