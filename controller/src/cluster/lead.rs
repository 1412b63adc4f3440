//! What the leader runs in its term, each part as a task of its own.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::addresses;
use crate::admission;
use crate::context::{Context, Stop};
use crate::usage;

use super::crd::{self, Crd};
use super::default_network::DefaultNetwork;
use super::keep::keep;
use super::metrics::Metrics;
use super::policies;
use super::term::Term;

#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub(super) context: Context,
    pub(super) metrics: Metrics,
    pub(super) usage: usage::Metrics,
    pub(super) addresses: addresses::Metrics,
    pub(super) stop: Stop,
}

/// Returns when every part has come to its end, after the term or with the process. Dropped, it ends them.
pub(super) async fn lead(parts: Lead, term: Term) {
    let Lead { context, metrics, usage, addresses, stop } = parts;
    let _leading = metrics.leading();
    let (client, events) = (context.client.clone(), context.events.clone());
    let mut tasks = JoinSet::new();

    let mut established = Vec::new();
    for wanted in crd::all() {
        let (crd, is_established) = Crd::new(wanted, client.clone(), events.clone());
        established.push(is_established);
        let (counts, until) = (metrics.clone(), (term.clone(), stop.clone()));
        tasks.spawn(async move { keep(&crd, &counts, until.0, until.1).await });
    }

    // The rest has nothing to watch before its objects can be read.
    let after = Gate { established, term: term.clone(), stop: stop.clone() };
    if let Some(network) = DefaultNetwork::new(client, events, &context.config) {
        let (counts, until) = (metrics.clone(), (term.clone(), stop.clone()));
        tasks.spawn(after.clone().then(async move { keep(&network, &counts, until.0, until.1).await }));
    }
    let counting = usage::run(context.clone(), usage, term.clone(), stop.clone());
    tasks.spawn(after.clone().then(logged("counting pods", counting)));
    let addresses = addresses::run(context.clone(), addresses, term.clone(), stop.clone());
    tasks.spawn(after.clone().then(addresses));
    tasks.spawn(admission::keep_certificate(context.clone(), term.clone(), stop.clone()));
    tasks.spawn(after.then(policies::watch(context, metrics, term, stop)));
    while tasks.join_next().await.is_some() {}
}

async fn logged(what: &str, part: impl Future<Output = anyhow::Result<()>>) {
    if let Err(error) = part.await {
        tracing::error!("{what} has ended: {error:#}");
    }
}

#[derive(Clone)]
struct Gate {
    established: Vec<watch::Receiver<bool>>,
    term: Term,
    stop: Stop,
}

impl Gate {
    async fn then(self, part: impl Future<Output = ()>) {
        let Self { mut established, mut term, mut stop } = self;
        let all = async {
            for one in &mut established {
                if one.wait_for(|yes| *yes).await.is_err() {
                    return false;
                }
            }
            true
        };
        let open = tokio::select! {
            open = all => open,
            () = term.ended() => false,
            () = stop.asked() => false,
        };
        if open {
            part.await;
        }
    }
}
