//! `manifold-controller uninstall`: every node gives its CNI folders back, then the cluster's objects are let go.
//!
//! Refused while pods have networks that only Manifold can take down, with their names, and while nodes are down. The cluster
//! role stops first: its pods may live in the network that goes, so they are gone before any node gives anything back. Then the
//! definition of the default network carries the mark that every node agent watches; each answers in an event. Who does not
//! answer in time is named. However it was broken off, the command can be run again and goes on from what it finds.

mod addresses;
mod cluster;
mod cluster_role;
mod nodes;
mod pods;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;
use manifold_ledger::installed::refusal;
use tokio::runtime::Builder;

use crate::config::DefaultSource;
use crate::connect;
use crate::node::config::Config;
use crate::node::definition::LEAVE;
use crate::objects::Definition;
use cluster_role::ClusterRole;
use nodes::Nodes;

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration file of the node agent.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Instead of the service account that the pod has.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Seconds to wait for the nodes.
    #[arg(long, default_value_t = 120)]
    pub wait: u64,
    /// Uninstalls although pods have networks that only Manifold can detach, and skips nodes that are down
    #[arg(long)]
    pub leave: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
    let runtime =
        Builder::new_current_thread().enable_all().build().context("the event loop cannot be created")?;
    runtime.block_on(async {
        let client = connect::client(arguments.kubeconfig.as_deref()).await?;
        uninstall(&client, &config, arguments.leave, Duration::from_secs(arguments.wait)).await
    })
}

pub async fn uninstall(client: &Client, config: &Config, leave: bool, wait: Duration) -> anyhow::Result<()> {
    let role = ClusterRole::new(client, &config.namespace);
    // An earlier run may have been broken off after nodes gave back: pods could not be taken down there.
    let nodes = Nodes::read_settled(client, config).await?;
    if role.has_pods(&nodes).await? {
        cluster::unmark(client, config).await?;
    }
    if !leave {
        refuse(client, config, &nodes).await?;
    }
    let replicas = role.stop(&nodes, wait).await?;
    let mark = format!("{}@{}", if leave { LEAVE } else { "now" }, jiff::Timestamp::now());
    cluster::mark(client, config, &mark).await?;
    let answers = nodes.wait(client, config, &mark, wait).await?;
    if !answers.open.is_empty() {
        // Refused by all, the cluster is as it was before.
        if answers.done == 0 {
            cluster::unmark(client, config).await?;
            // An earlier run may have stopped it already; then how many there were is not known.
            role.start(replicas.max(1)).await?;
        }
        bail!("these nodes have not restored their CNI folders:\n{}", answers.open.join("\n"));
    }
    for node in nodes.down() {
        tracing::warn!("{node} is down and was left: run `manifold uninstall` there when it is up again");
    }
    cluster::let_go(client, config).await?;
    // Under pods that run on, the records stay: a later installation then knows who has which address.
    if leave { Ok(()) } else { addresses::remove(client).await }
}

async fn refuse(client: &Client, config: &Config, nodes: &Nodes) -> anyhow::Result<()> {
    let mut users = users(&cluster::definitions(client).await?, config);
    if config.default_network.source == DefaultSource::BuiltIn {
        users.extend(pods::with_own_network(client, &config.namespace).await?);
    }
    users.sort();
    users.dedup();
    if !users.is_empty() {
        bail!("{}", refusal(&users));
    }
    let owners = addresses::owners(client).await?;
    if !owners.is_empty() {
        bail!("{}", addresses::refusal(&owners));
    }
    let down: Vec<String> = nodes.down().map(|node| format!("`{node}`")).collect();
    if !down.is_empty() {
        bail!(
            "{} down, and could not restore their CNI folders: start them, or delete their Node objects, or leave them as they \
             are: `--leave`, in the chart `uninstall.leave=true`",
            if let [one] = &*down {
                format!("the node {one} is")
            } else {
                format!("the nodes {} are", down.join(", "))
            }
        );
    }
    Ok(())
}

/// The pods that the definitions name, besides those of the default network.
fn users(definitions: &[Definition], config: &Config) -> Vec<String> {
    let is_default = |d: &&Definition| {
        let reference = d.reference();
        reference.namespace.as_str() == config.namespace
            && reference.name.as_str() == config.default_network.name
    };
    let others = definitions.iter().filter(|d| !is_default(d));
    others.flat_map(|d| d.status.pod_names.clone()).collect()
}
