//! Follows the Nodes, for the built-in network alone: its own for the pod CIDRs, the others for the routes to their pods.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::{Client, ResourceExt as _};
use manifold_ledger::installed::Installed;
use manifold_net::Net;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::built_in::{Facts, text, ways};
use super::config::BuiltIn;
use super::definition::Seen;
use super::identity::Identity;
use super::routes;
use crate::context::Stop;
use crate::feed::{Event, Source, feed};
use crate::objects::Malformed;

/// Routes are looked at this often: who restarts the host's network takes them away.
const LOOK: Duration = Duration::from_secs(15);
/// News of many nodes is taken together.
const TOGETHER: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Nodes {
    pub config: BuiltIn,
    pub state_dir: PathBuf,
    pub identity: watch::Receiver<Option<Identity>>,
    pub seen: watch::Receiver<Seen>,
    /// The text of the network.
    pub told: watch::Sender<Option<String>>,
}

impl Nodes {
    pub async fn run(self, client: Client, mut stop: Stop) {
        let mut identity = self.identity.clone();
        let own = tokio::select! {
            () = stop.asked() => return,
            own = identity.wait_for(Option::is_some) => own.ok().and_then(|own| own.clone()),
        };
        let Some(own) = own else { return };
        tokio::select! {
            () = stop.asked() => {}
            () = self.follow(client, &own.node) => {}
        }
    }

    async fn follow(&self, client: Client, own: &str) {
        let stream = feed(client, source(), read);
        futures::pin_mut!(stream);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut nodes, mut fresh) = (BTreeMap::new(), BTreeMap::new());
        let (mut is_whole, mut said) = (false, Vec::new());
        loop {
            tokio::select! {
                event = stream.next() => {
                    let before = nodes.clone();
                    match event {
                        Some(event) => is_whole |= take(event, &mut nodes, &mut fresh),
                        None => return,
                    }
                    // A heartbeat says nothing new.
                    if before == nodes {
                        continue;
                    }
                    sleep(TOGETHER).await;
                }
                _ = look.tick() => {}
            }
            if is_whole {
                self.act(own, &nodes, &mut said).await;
            }
        }
    }

    async fn act(&self, own: &str, nodes: &BTreeMap<String, Facts>, said: &mut Vec<String>) {
        let now = nodes.get(own).and_then(|facts| text(&self.config, facts));
        self.told.send_if_modified(|then| {
            // A Node that is made anew has no pod CIDR for a moment; its pods keep theirs.
            let is_other = now.is_some() && *then != now;
            if is_other {
                *then = now;
            }
            is_other
        });
        let wanted = if self.is_given_back() { BTreeMap::new() } else { ways(own, nodes) };
        let applied = tokio::task::spawn_blocking(move || routes::apply(&Net::here()?, &wanted)).await;
        let left = match applied {
            Ok(Ok(routed)) => {
                if routed.changed > 0 {
                    tracing::info!("{} routes to the pods of other nodes were changed", routed.changed);
                }
                routed.left
            }
            Ok(Err(why)) => vec![format!("routes to the pods of other nodes cannot be set: {why}")],
            Err(_) => return,
        };
        if left != *said {
            left.iter().for_each(|sentence| tracing::warn!("{sentence}"));
            *said = left;
        }
    }

    fn is_given_back(&self) -> bool {
        self.seen.borrow().uninstall.is_some() && Installed::read(&self.state_dir).is_ok_and(|r| r.is_none())
    }
}

fn source() -> Source {
    let path = "/api/v1/nodes".to_owned();
    Source {
        resource: "nodes",
        path,
        fields: None,
        labels: None,
        metadata_only: false,
        told: Arc::new(|_| {}),
    }
}

/// Of a Node, which lists its images too, two facts are kept.
fn read(raw: &RawValue) -> Result<(String, Facts), Malformed> {
    let node: Node = serde_json::from_str(raw.get())
        .map_err(|e| Malformed { reference: "a Node".to_owned(), why: e.to_string() })?;
    Ok((node.name_any(), Facts::of(&node)))
}

/// Whether the whole set is known now.
fn take(
    event: Event<(String, Facts)>,
    nodes: &mut BTreeMap<String, Facts>,
    fresh: &mut BTreeMap<String, Facts>,
) -> bool {
    match event {
        Event::Set((name, facts)) => drop(nodes.insert(name, facts)),
        Event::Gone((name, _)) => drop(nodes.remove(&name)),
        Event::ListBegins => fresh.clear(),
        Event::Listed((name, facts)) => drop(fresh.insert(name, facts)),
        Event::ListEnds => {
            *nodes = std::mem::take(fresh);
            return true;
        }
        Event::Malformed | Event::Interrupted | Event::Resumed => {}
    }
    false
}
