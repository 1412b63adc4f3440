//! Processes of Manifold's containers, as the kernel knows them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use manifold_e2e::cluster::{Cluster, Node};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process(i32);

impl Process {
    /// The node agent on a node; none while it is down.
    pub(crate) fn of_node_role(node: &Node) -> Option<Self> {
        let own = fs::metadata(node.machine().netns()).unwrap().ino();
        let mut all = with_words(b"/manifold-controller\0agent\0");
        // It lives in the node's network.
        all.find(|process| fs::metadata(process.path("ns/net")).is_ok_and(|netns| netns.ino() == own))
    }

    /// The replicas of the controller with these names.
    pub(crate) fn of_cluster_role(pod: &str) -> Option<Self> {
        let own = format!("--replica={pod}");
        let is_own = |process: &Self| process.words().any(|word| word == own);
        with_words(b"/manifold-controller\0controller\0").find(is_own)
    }

    pub(crate) fn wait_node_role(cluster: &Cluster, node: &Node) -> Self {
        cluster.wait("the node agent to run", || Ok(Self::of_node_role(node))).unwrap()
    }

    /// A file of `/proc/PID`.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.0))
    }

    /// As by the kernel when memory runs out: nothing is asked, nothing is put in order.
    pub(crate) fn kill(&self) {
        kill(Pid::from_raw(self.0), Signal::SIGKILL).unwrap();
    }

    /// One line of `/proc/PID/status`, without spaces around.
    pub(crate) fn status(&self, key: &str) -> String {
        let text = fs::read_to_string(self.path("status")).unwrap();
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| *name == key).unwrap().1.trim().to_owned()
    }

    fn words(&self) -> impl Iterator<Item = String> {
        let line = fs::read(self.path("cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into()).collect();
        words.into_iter()
    }
}

fn with_words(words: &[u8]) -> impl Iterator<Item = Process> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let all = names.filter_map(|name| name.to_str()?.parse().ok().map(Process));
    all.filter(move |process| fs::read(process.path("cmdline")).is_ok_and(|line| line.starts_with(words)))
}
