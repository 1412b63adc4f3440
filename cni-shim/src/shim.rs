//! What every verb has at hand: the configuration, where plugins lie, when the call began.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::source::ClusterEnvironment;

#[derive(Debug)]
pub struct Shim {
    pub config: Config,
    /// `binDir`, then CNI_PATH: where plugins are looked for, and the CNI_PATH that delegates get.
    pub folders: Vec<PathBuf>,
    pub began: Instant,
    pub cluster: Option<ClusterEnvironment>,
    /// `CNI_NETNS_OVERRIDE`: a caller that means its own namespace says so.
    pub netns_override: Option<String>,
}

impl Shim {
    /// How long DEL waits for a lock that an ADD of the same sandbox holds.
    pub const LOCK_WAIT: Duration = Duration::from_secs(20);

    /// When the whole ADD must have ended.
    pub fn add_deadline(&self) -> Instant {
        self.began + self.config.limits.add
    }

    /// Whether an API server could know more than this node's disk.
    pub fn has_cluster(&self) -> bool {
        self.config.manifests.is_some() || self.config.kubeconfig.is_some() || self.cluster.is_some()
    }
}
