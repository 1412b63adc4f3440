//! The nodes: which there are, which are down, and what they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::sleep;

use crate::events::is_told_by;
use crate::node::config::Config;

const NODE_ROLE: &str = "app.kubernetes.io/name=manifold-node";
const LOOK: Duration = Duration::from_secs(1);
/// How long a node may be silent before it counts as down: its kubelet may only be slow, and writes its lease every ten
/// seconds.
const NODE_RETURN_TIMEOUT: Duration = Duration::from_secs(25);

/// The nodes with a node agent, and which of them are down.
pub(super) struct Nodes {
    names: Vec<String>,
    down: BTreeSet<String>,
    /// Those with a Node object. A pod of a node without one ends by itself.
    known: BTreeSet<String>,
}

/// What came of the mark.
pub(super) struct Answers {
    pub(super) done: usize,
    /// Those that did not answer, or that refused: a line each.
    pub(super) open: Vec<String>,
}

impl Nodes {
    /// Reads again while one is down, for a while.
    pub(super) async fn read_settled(client: &Client, config: &Config) -> anyhow::Result<Self> {
        let deadline = Instant::now() + NODE_RETURN_TIMEOUT;
        loop {
            let nodes = Self::read(client, config).await?;
            if nodes.down().next().is_none() || Instant::now() >= deadline {
                return Ok(nodes);
            }
            sleep(LOOK).await;
        }
    }

    async fn read(client: &Client, config: &Config) -> anyhow::Result<Self> {
        let api: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
        let pods = api.list(&ListParams::default().labels(NODE_ROLE)).await;
        let pods = pods
            .context("the pods of the node agent cannot be listed; grant `list` of pods in the namespace")?;
        let names: BTreeSet<String> = pods.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
        let all = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        let all = all.context("the nodes cannot be listed; grant `list` of nodes")?;
        let known: BTreeSet<String> = all.iter().filter_map(|node| node.metadata.name.clone()).collect();
        let down = all.into_iter().filter(is_down).filter_map(|node| node.metadata.name).collect();
        let names = names.into_iter().filter(|name| known.contains(name)).collect();
        Ok(Self { names, down, known })
    }

    /// Those with a node agent that cannot answer.
    pub(super) fn down(&self) -> impl Iterator<Item = &String> {
        self.names.iter().filter(|name| self.down.contains(*name))
    }

    pub(super) fn is_pod_down(&self, pod: &Pod) -> bool {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        node.is_some_and(|node| self.down.contains(node) || !self.known.contains(node))
    }

    /// Waits for the answers of all that are not down.
    pub(super) async fn wait(
        &self,
        client: &Client,
        config: &Config,
        mark: &str,
        wait: Duration,
    ) -> anyhow::Result<Answers> {
        let deadline = Instant::now() + wait;
        loop {
            let answers = answers(client, config, mark).await?;
            let is_done = |name: &&String| matches!(answers.get(*name), Some((true, _)));
            let (done, open): (Vec<&String>, Vec<&String>) = self.names.iter().partition(is_done);
            let mut open = open.into_iter().filter(|name| !self.down.contains(*name)).peekable();
            if open.peek().is_none() || Instant::now() >= deadline {
                let open = open.map(|node| line(node, answers.get(node))).collect();
                return Ok(Answers { done: done.len(), open });
            }
            sleep(LOOK).await;
        }
    }
}

/// Its kubelet is not heard of any more. One that is merely not ready, for want of a network, answers.
fn is_down(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "Unknown")
}

fn line(node: &str, answer: Option<&(bool, String)>) -> String {
    match answer {
        Some((_, said)) => format!("{node}: {said}"),
        None => format!(
            "{node}: no answer; check the node agent's log there, or run `manifold uninstall` on that node by hand"
        ),
    }
}

/// By node: whether it is done, and what it said, about this mark. What somebody else tells of a node counts for nothing.
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
        let Some((node, said)) = event.note.as_deref().and_then(|note| note.split_once(&middle)) else {
            continue;
        };
        if !is_told_by(&event, node) {
            continue;
        }
        let done = event.reason.as_deref() == Some("NodeUninstalled");
        if done || !matches!(answers.get(node), Some((true, _))) {
            answers.insert(node.to_owned(), (done, said.to_owned()));
        }
    }
    Ok(answers)
}
