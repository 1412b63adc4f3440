//! A node without a cluster: a network namespace in the machine's place, and a runtime that calls `manifold` in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use manifold_e2e::leaks::{Oracle, Snapshot};
use manifold_e2e::mounts;
use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{CallOutcome, Pod, Runtime};
use serde_json::{Value, json};

use super::examples::PodName;
use super::place::Place;

/// Where plugins keep their state, and thus where the demo's own folder is put while they run.
const STATE: &str = "/var/lib";

/// Dropped, it takes everything with it. [`Node::keep`] leaves it there.
#[derive(Debug)]
pub(super) struct Node {
    place: Place,
    host: HostNs,
}

/// A pod and its network namespace.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) who: PodName,
    pub(super) netns: TestNetns,
    pod: Pod,
}

impl Node {
    /// With a second network card, `eth1`, whose wire is plugged in.
    pub(super) fn new(place: &Place) -> anyhow::Result<Self> {
        let node = Self { place: place.clone(), host: HostNs::named(&place.netns("node"), &place.folder())? };
        fs::create_dir_all(node.state()).context("cannot make a folder under `/run`")?;
        node.host.exec(&["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1-wire"])?;
        for link in ["eth1", "eth1-wire"] {
            node.host.exec(&["ip", "link", "set", link, "up"])?;
        }
        // As on every node of Kubernetes; a gateway would turn them on otherwise, and leave them on.
        for switch in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            node.host.exec(&["sh", "-c", &format!("echo 1 > /proc/sys/{switch}")])?;
        }
        Ok(node)
    }

    pub(super) fn manifests(&self) -> PathBuf {
        self.place.folder().join("manifests")
    }

    fn state(&self) -> PathBuf {
        self.place.folder().join("lib/cni")
    }

    /// An empty pod, as a runtime hands it over.
    pub(super) fn sandbox(&self, who: &PodName) -> anyhow::Result<Sandbox> {
        let netns = TestNetns::named(&self.place.netns(&who.name))?;
        let pod = Pod::new(&netns, &who.namespace, &who.name);
        Ok(Sandbox { who: who.clone(), netns, pod })
    }

    /// ADD; how long it took.
    pub(super) fn attach(&self, executable: &Path, sandbox: &Sandbox) -> anyhow::Result<Duration> {
        self.call(executable, |runtime| runtime.add(&sandbox.pod))
    }

    /// DEL; how long it took.
    pub(super) fn detach(&self, executable: &Path, sandbox: &Sandbox) -> anyhow::Result<Duration> {
        self.call(executable, |runtime| runtime.del(&sandbox.pod))
    }

    fn call(
        &self,
        executable: &Path,
        verb: impl FnOnce(&Runtime<'_>) -> anyhow::Result<CallOutcome> + Send,
    ) -> anyhow::Result<Duration> {
        let mut runtime = Runtime::new(executable, &self.entry().to_string(), &self.host)?;
        // The pod is found among the manifests, as a runtime that passes no annotations would have it.
        runtime.pass_annotations = false;
        let outcome =
            mounts::with_folder_over(Path::new(STATE), &self.place.folder().join("lib"), || verb(&runtime))??;
        if outcome.succeeded() { Ok(outcome.wall) } else { bail!(why(&outcome)) }
    }

    /// The configuration entry that an installation would write to `/etc/cni/net.d`.
    fn entry(&self) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "manifold",
            "plugins": [{
                "type": "manifold",
                "clusterNetwork": "cluster-wide-network",
                "manifests": self.manifests(),
            }],
        })
    }

    pub(super) fn oracle(&self, sandboxes: &[Sandbox]) -> Oracle<'_> {
        let oracle = sandboxes.iter().fold(Oracle::new(&self.host), |oracle, pod| oracle.pod(&pod.netns));
        oracle.folder("leases", &self.state().join("networks"))
    }

    /// The bridges that the networks made: plugins leave them for the next pod.
    pub(super) fn remove_bridges(&self) -> anyhow::Result<Vec<String>> {
        let printed = self.host.exec(&["ip", "-j", "link", "show", "type", "bridge"])?;
        let links: Vec<Value> = serde_json::from_str(&printed).unwrap_or_default();
        let names = links.iter().filter_map(|link| link.get("ifname")?.as_str().map(str::to_owned));
        let names: Vec<String> = names.collect();
        for name in &names {
            self.host.exec(&["ip", "link", "delete", name])?;
        }
        Ok(names)
    }

    /// What differs from before the first ADD, and what the ledger still holds.
    pub(super) fn left(&self, oracle: &Oracle<'_>, before: &Snapshot) -> anyhow::Result<Vec<String>> {
        // Other programs of this machine may make namespaces meanwhile; a plugin never does.
        let of_others = |sentence: &str| sentence.starts_with("machine: network namespace");
        let mut left = oracle.leaks_but(before, of_others)?;
        let entries = fs::read_dir(self.state().join("manifold")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // Its own bookkeeping (locks, marks) begins with a dot.
        left.extend(names.filter(|n| !n.starts_with('.')).map(|n| format!("ledger: entry `{n}`")));
        Ok(left)
    }

    /// Leaves node and pods as they are.
    pub(super) fn keep(self, sandboxes: Vec<Sandbox>) {
        sandboxes.into_iter().for_each(|sandbox| std::mem::forget(sandbox.netns));
        std::mem::forget(self.host);
    }
}

/// The plugin's own words.
fn why(outcome: &CallOutcome) -> String {
    match outcome.error() {
        Some(_) => outcome.error_text().trim().to_owned(),
        None => outcome.to_string(),
    }
}
