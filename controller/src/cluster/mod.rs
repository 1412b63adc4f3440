//! The controller: two replicas, one of which leads.
//!
//! Both answer admission reviews and say how they are (`status_page.rs`). The leader of the Lease (`election/`) alone keeps the
//! CRD and the default network as they should be (`keep.rs`), looks after the policies (`policies/`), counts the pods of every
//! definition and issues the webhook's certificate (`lead.rs`). Who writes asks its `Term` before.

pub mod crd;
pub mod default_network;
pub mod drift;
pub mod election;
pub mod keep;
mod lead;
pub mod metrics;
pub mod policies;
mod ready;
mod serve;
pub mod term;

use std::path::PathBuf;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::config::Config;
use crate::connect;
use crate::context::Stop;
pub(crate) use serve::Counts;
pub use serve::serve;

/// `manifold-controller controller`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file (YAML). Without one every key has its default.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Instead of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The name of this replica, in the Lease and on events; the pod's name, where there is one.
    #[arg(long)]
    pub replica: Option<String>,
}

/// Runs until it is told to stop.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    let replica = match &arguments.replica {
        Some(name) => name.clone(),
        None => connect::host_name()?,
    };
    // Two: while one thread judges a large definition, the other renews the Lease.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("the threads cannot be started")?;
    let ended = runtime.block_on(async {
        let stop = Stop::on_signals()?;
        let client = connect::client(arguments.kubeconfig.as_deref()).await?;
        serve(client, config, &replica, stop).await
    });
    // What still runs now was told to stop, and had its time.
    runtime.shutdown_background();
    ended
}
