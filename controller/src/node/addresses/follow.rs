//! The blocks of which this node has a part, by the label that names its Node object.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use manifold_addresses::api::Stored;
use manifold_crds::ipam::{BlockCidr, Domain, HELD_BY_LABEL_PREFIX, NodeUid};
use tokio::sync::watch;

use crate::addresses::mirror::Blocks;
use crate::addresses::{read, resource};
use crate::context::Stop;
use crate::feed::feed;
use crate::node::identity::Identity;

/// How often is asked whether the API server knows blocks yet.
const DISCOVERY: Duration = Duration::from_secs(60);

/// What the watch has told.
#[derive(Debug, Default)]
pub(super) struct Followed(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    uid: Option<NodeUid>,
    blocks: Blocks,
}

impl Followed {
    /// The blocks of a domain, once all were listed for this Node object.
    pub(super) fn of(&self, uid: &NodeUid, domain: &Domain) -> Option<BTreeMap<BlockCidr, Stored>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = known.uid.as_ref() == Some(uid) && known.blocks.is_complete();
        is_told.then(|| known.blocks.of(domain).clone())
    }

    /// The domains in which the node has anything, as far as the watch told.
    pub(super) fn domains(&self) -> Vec<Domain> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_any = known.blocks.domains().filter(|(_, blocks)| !blocks.is_empty());
        has_any.map(|(domain, _)| domain.clone()).collect()
    }

    fn begin(&self, uid: &NodeUid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Known { uid: Some(uid.clone()), blocks: Blocks::default() };
    }
}

/// Follows them, anew for each Node object that this node becomes.
pub(super) async fn follow(
    client: Client,
    mut identity: watch::Receiver<Option<Identity>>,
    followed: Arc<Followed>,
    wake: Sender<()>,
    mut stop: Stop,
) {
    tokio::select! {
        () = stop.asked() => {}
        () = async {
            while !resource::is_served(&client, &resource::blocks()).await {
                tokio::time::sleep(DISCOVERY).await;
            }
            loop {
                let own = identity.borrow_and_update().clone();
                let uid = own.and_then(|own| own.uid).and_then(|uid| uid.parse::<NodeUid>().ok());
                tokio::select! {
                    changed = identity.changed() => if changed.is_err() { return },
                    () = follow_one(&client, uid, &followed, &wake) => return,
                }
            }
        } => {}
    }
}

/// Returns when nobody listens any more.
async fn follow_one(client: &Client, uid: Option<NodeUid>, followed: &Followed, wake: &Sender<()>) {
    let Some(uid) = uid else { return std::future::pending().await };
    followed.begin(&uid);
    let mut source = resource::source("addressblocks", &resource::blocks(), |_| {});
    source.labels = Some(format!("{HELD_BY_LABEL_PREFIX}{uid}"));
    let stream = feed(client.clone(), source, read::block);
    futures::pin_mut!(stream);
    while let Some(event) = stream.next().await {
        followed.0.lock().unwrap_or_else(PoisonError::into_inner).blocks.take(event);
        if wake.send(()).is_err() {
            return;
        }
    }
}
