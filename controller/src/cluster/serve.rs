//! Puts the parts together: what every replica runs, and the election that decides who leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::addresses;
use crate::admission;
use crate::config::Config;
use crate::connect;
use crate::context::{Context, Stop};
use crate::events::{self, Events};
use crate::status_page::{self, Page};
use crate::usage;

use super::election::{Election, Leases};
use super::lead::{Lead, lead};
use super::metrics::Metrics;
use super::ready::Ready;

/// What telling the last events may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Everything that the role counts.
#[derive(Debug)]
pub(crate) struct Counts {
    frame: Metrics,
    reviews: admission::Metrics,
    usage: usage::Metrics,
    addresses: addresses::Metrics,
    events: events::Metrics,
}

impl Counts {
    pub(crate) fn new() -> (Registry, Self) {
        let mut registry = Registry::default();
        let all = Self {
            frame: Metrics::register(&mut registry),
            reviews: admission::Metrics::register(&mut registry),
            usage: usage::Metrics::register(&mut registry),
            addresses: addresses::Metrics::register(&mut registry),
            events: events::Metrics::register(&mut registry),
        };
        (registry, all)
    }

    /// Begins every series that there can be: for the reference.
    pub(crate) fn every(&self) {
        self.frame.every();
        self.reviews.every();
        self.usage.every();
        self.addresses.every();
        self.events.every();
    }
}

/// Runs one replica until it is told to stop, or cannot go on.
pub async fn serve(client: Client, config: Config, replica: &str, stop: Stop) -> anyhow::Result<()> {
    let (registry, Counts { frame: metrics, reviews, usage, addresses, events }) = Counts::new();
    let events = Events::start(client.clone(), replica, events);
    let context = Context { events: events.clone(), ..Context::new(client.clone(), config)? };
    let config = Arc::clone(&context.config);

    let listener = TcpListener::bind(config.status_address).await;
    let listener = listener.with_context(|| {
        format!("the status page cannot listen at `{}`; set `statusAddress`", config.status_address)
    })?;
    let ready = Ready::new(client.clone(), reviews.clone());
    let page = Page { registry, missing: Box::new(move || ready.missing()) };
    tokio::spawn(status_page::answer(listener, Arc::new(page)));
    let mut admission = tokio::spawn(admission::run(context.clone(), reviews, stop.clone()));

    let election = election(client, &config, replica)?;
    let parts = Lead { context, metrics, usage, addresses, stop: stop.clone() };
    let election = election.run(stop.clone(), |term| lead(parts.clone(), term));
    tokio::pin!(election);
    tokio::select! {
        () = &mut election => {}
        ended = &mut admission => {
            if !stop.is_asked() {
                return ended.context("admission ended unexpectedly")?.and(Err(anyhow!("admission has ended")));
            }
            election.await;
        }
    }
    let _ = timeout(FLUSH, events.flush()).await;
    Ok(())
}

fn election(client: Client, config: &Config, replica: &str) -> anyhow::Result<Election> {
    let lease = &config.lease;
    let leases = Leases::new(client, &config.namespace, &lease.name, connect::unique(replica)?);
    let seconds = |s: u32| Duration::from_secs(s.into());
    Ok(Election::new(leases, seconds(lease.duration_seconds), seconds(lease.retry_seconds)))
}
