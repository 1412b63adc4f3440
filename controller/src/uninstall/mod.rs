//! `manifold-controller uninstall`: every node gives its CNI folders back, then the cluster's objects are let go.
//!
//! Refused while pods have networks that only Manifold can take down, with their names. The definition of the default network
//! carries the mark that every node role watches; each answers in an event. Who does not answer in time is named, and nothing
//! of the cluster is touched then: the command can be run again.

mod cluster;
mod nodes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;
use manifold_ledger::installed::refusal;
use serde_json::json;
use tokio::runtime::Builder;

use crate::connect;
use crate::node::config::Config;
use crate::node::definition::{LEAVE, UNINSTALL};
use crate::objects::{self, Definition};

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file of the node role.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Instead of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Seconds to wait for the nodes.
    #[arg(long, default_value_t = 120)]
    pub wait: u64,
    /// Also under pods that have more networks than the default one: nobody takes those down then.
    #[arg(long)]
    pub leave: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    let runtime =
        Builder::new_current_thread().enable_all().build().context("the event loop cannot be made")?;
    runtime.block_on(async {
        let client = connect::client(arguments.kubeconfig.as_deref()).await?;
        uninstall(&client, &config, arguments.leave, Duration::from_secs(arguments.wait)).await
    })
}

pub async fn uninstall(client: &Client, config: &Config, leave: bool, wait: Duration) -> anyhow::Result<()> {
    let definitions = cluster::definitions(client).await?;
    let users = users(&definitions, config);
    if !leave && !users.is_empty() {
        bail!("{}", refusal(&users));
    }
    let mark = format!("{}@{}", if leave { LEAVE } else { "now" }, jiff::Timestamp::now());
    let api = objects::of_namespace(client.clone(), &config.namespace);
    let patch = json!({"metadata": {"annotations": {UNINSTALL: mark}}});
    cluster::patch(&api, &config.default_network.name, &patch)
        .await
        .context("the definition of the default network cannot be marked, so no node is told")?;
    let silent = nodes::wait(client, config, &mark, wait).await?;
    if !silent.is_empty() {
        bail!("these nodes have not given their CNI folders back:\n{}", silent.join("\n"));
    }
    cluster::let_go(client, config, wait).await
}

/// The pods that the definitions name, besides those of the default network.
fn users(definitions: &[Definition], config: &Config) -> Vec<String> {
    let is_default = |d: &&Definition| {
        let reference = d.reference();
        reference.namespace.as_str() == config.namespace
            && reference.name.as_str() == config.default_network.name
    };
    let others = definitions.iter().filter(|d| !is_default(d));
    let mut users: Vec<String> = others.flat_map(|d| d.status.pod_names.clone()).collect();
    users.sort();
    users.dedup();
    users
}
