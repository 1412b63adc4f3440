//! The node agent: one on each node, a DaemonSet.
//!
//! It installs what the container runtime runs and keeps it so (`keep.rs`: executables, the mirrored default network, the
//! configuration), gives the shim its credentials (`credentials.rs`), publishes the statuses that the shim could not
//! (`statuses.rs`), tells of what the shim did (`outcomes.rs`), and keeps the node's addresses in order (`addresses/`). No pod needs it to start or stop: what it has put on
//! the node stays when it ends, and works without it.

pub mod addresses;
pub mod built_in;
pub mod config;
pub mod conflist;
pub mod credentials;
pub mod default_network;
pub mod definition;
pub mod denied;
pub mod executables;
pub mod identity;
pub mod keep;
pub mod kubeconfig;
pub mod late;
pub mod metrics;
pub mod node_object;
pub mod nodes;
pub mod outcomes;
pub mod patch;
pub mod platform;
pub mod preflight;
pub mod rival;
mod rounds;
pub mod routes;
mod serve;
pub mod statuses;
pub mod watch;

use std::path::PathBuf;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::connect;
use crate::context::Stop;
use config::Config;
pub(crate) use serve::Counts;
pub use serve::serve;

/// The name of the executable on the node, and the `type` in configurations.
pub const EXECUTABLE: &str = "manifold";

/// `manifold-controller agent`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file (YAML). Without one every key has its default.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Instead of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

/// Runs until it is told to stop. Nothing that it put on the node is withdrawn then.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    preflight::look(&config)?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("the threads cannot be started")?;
    let ended = runtime.block_on(async {
        let stop = Stop::on_signals()?;
        let base = connect::config(arguments.kubeconfig.as_deref()).await?;
        serve(base, config, stop).await
    });
    runtime.shutdown_background();
    ended
}
