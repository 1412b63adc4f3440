//! The node role's part of cluster-wide addresses: it keeps what this node holds in order, so that ADDs rarely have to ask.
//!
//! A thread of its own works under the claiming lock of each domain, as a claim of an ADD does. It is woken by changes of
//! the folder, by the watch of this node's blocks (`follow.rs`), and by time. Crate `manifold-addresses` says what is to be done
//! (`agent`), crate `manifold-address-store` does it (`session`); here lie the requests (`api.rs`), the mirrors of pools
//! (`mirrors.rs`), and what is told of it (`metrics.rs`, `tell.rs`). No pod needs any of it to start or stop.

mod api;
mod follow;
pub mod metrics;
mod mirrors;
mod round;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::Client;
use manifold_address_store::Store;
use manifold_address_store::identity::NodeIdentity;
use tokio::sync::watch;

use super::definition::Seen;
use super::identity::Identity;
use super::watch as folders;
use crate::context::Stop;
use crate::events::Events;
use follow::Followed;
use metrics::Metrics;
use round::Rounds;

/// Without any news: blocks that lie idle are found by time.
const SLOW: Duration = Duration::from_secs(30);
/// After a round that something stood in the way of.
const AGAIN: Duration = Duration::from_secs(5);
/// From one round to the next, however much is told.
const APART: Duration = Duration::from_millis(200);

/// What the part is given.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) state_dir: PathBuf,
    pub(super) identity: watch::Receiver<Option<Identity>>,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) metrics: Metrics,
    pub(super) events: Events,
}

/// Starts it. It ends with the process.
pub(super) fn start(parts: Parts, client: Client, stop: Stop) -> anyhow::Result<()> {
    let store = Store::of(&parts.state_dir);
    let (wake, woken) = mpsc::channel();
    let (of, told) = (store.clone(), wake.clone());
    folders::folders_of(move || watched(&of), move || told.send(()).is_ok())?;
    let followed: Arc<Followed> = Arc::default();
    tokio::spawn(follow::follow(client.clone(), parts.identity.clone(), Arc::clone(&followed), wake, stop));
    let runtime = tokio::runtime::Handle::current();
    let rounds = Rounds::new(parts, client, store, followed, runtime);
    let run = move || run(rounds, &woken);
    std::thread::Builder::new()
        .name("addresses".to_owned())
        .spawn(run)
        .context("a thread cannot be started")?;
    Ok(())
}

/// The folder and those of its domains.
fn watched(store: &Store) -> Vec<PathBuf> {
    let domains = store.domains().unwrap_or_default();
    let folders = domains.iter().map(|domain| domain.path().to_owned());
    std::iter::once(store.path().to_owned()).chain(folders).collect()
}

/// Returns when nobody wakes it any more.
fn run(mut rounds: Rounds, woken: &Receiver<()>) {
    loop {
        let began = Instant::now();
        let is_done = rounds.round();
        let pause = if is_done { SLOW } else { AGAIN };
        match woken.recv_timeout(pause) {
            Err(RecvTimeoutError::Disconnected) => return,
            _ => {
                std::thread::sleep(APART.saturating_sub(began.elapsed()));
                while woken.try_recv().is_ok() {}
            }
        }
    }
}

/// Writes who this node is beside the shim's token, for the shim.
fn keep_identity(parts: &Parts) -> anyhow::Result<bool> {
    let Some(own) = parts.identity.borrow().clone() else { return Ok(false) };
    let Some(uid) = own.uid else { return Ok(false) };
    let wanted = NodeIdentity { node: own.node.parse()?, uid: uid.parse()? };
    if NodeIdentity::read(&parts.state_dir).ok().as_ref() != Some(&wanted) {
        wanted.write(&parts.state_dir)?;
        tracing::info!("the shim knows now that this is Node `{}` ({})", wanted.node, wanted.uid);
    }
    Ok(true)
}
