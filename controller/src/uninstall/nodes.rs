//! Waits for the answers of the nodes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::sleep;

use crate::node::config::Config;

const NODE_ROLE: &str = "app.kubernetes.io/name=manifold-node";
const LOOK: Duration = Duration::from_secs(1);

/// Those that did not answer, or that refused: a line each.
pub(super) async fn wait(
    client: &Client,
    config: &Config,
    mark: &str,
    wait: Duration,
) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + wait;
    let nodes = nodes(client, config).await?;
    loop {
        let answers = answers(client, config, mark).await?;
        let open: Vec<&String> =
            nodes.iter().filter(|n| !matches!(answers.get(*n), Some((true, _)))).collect();
        if open.is_empty() || Instant::now() >= deadline {
            return Ok(open.into_iter().map(|node| line(node, answers.get(node))).collect());
        }
        sleep(LOOK).await;
    }
}

fn line(node: &str, answer: Option<&(bool, String)>) -> String {
    match answer {
        Some((_, said)) => format!("{node}: {said}"),
        None => format!(
            "{node}: no answer; see the node role's log there, or run `manifold uninstall` on that node by hand"
        ),
    }
}

/// The nodes with a node role.
async fn nodes(client: &Client, config: &Config) -> anyhow::Result<Vec<String>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
    let pods = api.list(&ListParams::default().labels(NODE_ROLE)).await;
    let pods =
        pods.context("the pods of the node role cannot be listed; grant `list` of pods in the namespace")?;
    let mut nodes: Vec<String> = pods.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

/// By node: whether it is done, and what it said, about this mark.
async fn answers(
    client: &Client,
    config: &Config,
    mark: &str,
) -> anyhow::Result<BTreeMap<String, (bool, String)>> {
    let api: Api<Event> = Api::namespaced(client.clone(), &config.namespace);
    let events = api.list(&ListParams::default()).await;
    let events =
        events.context("the answers of the nodes cannot be read; grant `list` of events in the namespace")?;
    let mut answers = BTreeMap::new();
    let middle = format!(" [{mark}]: ");
    for event in events {
        let (Some(reason), Some(note)) = (event.reason, event.note) else { continue };
        let Some((node, said)) = note.split_once(&middle) else { continue };
        let done = reason == "NodeUninstalled";
        if done || !matches!(answers.get(node), Some((true, _))) {
            answers.insert(node.to_owned(), (done, said.to_owned()));
        }
    }
    Ok(answers)
}
