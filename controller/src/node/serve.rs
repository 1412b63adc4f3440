//! Puts the parts of the node agent together.

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, PoisonError};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, timeout};

use super::config::Config;
use super::credentials::Credentials;
use super::definition::{self, Seen};
use super::keep::Keeper;
use super::metrics::Metrics;
use super::nodes::Nodes;
use super::outcomes::Outcomes;
use super::rounds::{Missing, News, Rounds};
use super::statuses::Statuses;
use super::{addresses, node_object, watch as folders};
use crate::config::DefaultSource;
use crate::connect;
use crate::context::Stop;
use crate::events::{self, Events};
use crate::status_page::{self, Page};

/// What telling the last events may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Everything that the role counts.
#[derive(Debug)]
pub(crate) struct Counts {
    role: Metrics,
    addresses: addresses::metrics::Metrics,
    events: events::Metrics,
}

impl Counts {
    pub(crate) fn new() -> (Registry, Self) {
        let mut registry = Registry::default();
        let role = Metrics::register(&mut registry);
        let addresses = addresses::metrics::Metrics::register(&mut registry);
        let events = events::Metrics::register(&mut registry);
        (registry, Self { role, addresses, events })
    }

    /// Begins every series that there can be: for the reference.
    pub(crate) fn every(&self) {
        self.role.every();
        self.addresses.every();
        self.events.every();
    }
}

/// Runs until it is told to stop.
pub async fn serve(base: kube::Config, config: Config, mut stop: Stop) -> anyhow::Result<()> {
    let client = connect::of(base.clone())?;
    let (registry, Counts { role: metrics, addresses: address_metrics, events: told }) = Counts::new();
    let replica = std::env::var("NODE_NAME").map_or_else(|_| connect::host_name(), Ok)?;
    let events = Events::start(client.clone(), &replica, told);

    let listener = TcpListener::bind(config.status_address).await.with_context(|| {
        format!("the status page cannot listen at `{}`; set `statusAddress`", config.status_address)
    })?;
    let missing = Missing::default();
    *missing.lock().unwrap_or_else(PoisonError::into_inner) = vec!["it has just begun".to_owned()];
    let known = Arc::clone(&missing);
    let page = Page {
        registry,
        missing: Box::new(move || known.lock().unwrap_or_else(PoisonError::into_inner).clone()),
    };
    tokio::spawn(status_page::answer(listener, Arc::new(page)));

    let (tell_seen, seen) = watch::channel(Seen::default());
    let (tell_identity, identity) = watch::channel(None);
    let (tell_shim, shim) = watch::channel(None);
    let (tell_node, node) = watch::channel(None);
    let (tell_built_in, built_in) = watch::channel(None);

    let (wake, woken) = mpsc::channel();
    let news = News { seen: seen.clone(), shim: shim.clone(), identity: identity.clone(), node, built_in };
    forward(&news, &wake);
    let host = &config.host;
    let told = wake.clone();
    folders::folders(vec![host.bin(), host.conf()], move || told.send(()).is_ok())?;
    let rounds = Rounds {
        keeper: Keeper::new(config.clone())?,
        config: config.clone(),
        news,
        missing,
        metrics: metrics.clone(),
        events: events.clone(),
        uninstalled: None,
        warned_of_folders: false,
        runtime: tokio::runtime::Handle::current(),
    };
    std::thread::Builder::new()
        .name("keep".to_owned())
        .spawn(move || rounds.run(&woken))
        .context("a thread cannot be started")?;

    let nudge = nudged_by(vec![host.state().join("credentials")])?;
    let credentials = Credentials::new(config.clone(), base, client.clone(), metrics.clone());
    let (until, of) = (stop.clone(), seen.clone());
    tokio::spawn(async move { credentials.run(tell_identity, tell_shim, &nudge, of, until).await });
    if config.default_network.source == DefaultSource::BuiltIn {
        let nodes = Nodes {
            config: config.built_in.clone(),
            state_dir: host.state(),
            identity: identity.clone(),
            seen: seen.clone(),
            told: tell_built_in,
        };
        tokio::spawn(nodes.run(client.clone(), stop.clone()));
    }
    let parts = addresses::Parts {
        state_dir: host.state(),
        identity: identity.clone(),
        seen: seen.clone(),
        metrics: address_metrics,
        events: events.clone(),
    };
    addresses::start(parts, client.clone(), stop.clone())?;
    tokio::spawn(node_object::follow(client.clone(), identity.clone(), tell_node, stop.clone()));
    let (namespace, name) = (config.namespace.clone(), config.default_network.name.clone());
    let (until, following) = (stop.clone(), client.clone());
    tokio::spawn(async move { definition::follow(following, &namespace, &name, tell_seen, until).await });

    let state_dir = host.state();
    let statuses = Statuses {
        state_dir: state_dir.clone(),
        shim,
        seen,
        metrics: metrics.clone(),
        events: events.clone(),
    };
    let (nudge, until) = (nudged_by(vec![state_dir.clone()])?, stop.clone());
    tokio::spawn(async move { statuses.run(&nudge, until).await });
    let outcomes = Outcomes { state_dir: state_dir.clone(), metrics, events: events.clone() };
    let (nudge, until) = (nudged_by(vec![state_dir.join(".spool")])?, stop.clone());
    tokio::spawn(async move { outcomes.run(&nudge, until).await });

    stop.asked().await;
    let _ = timeout(FLUSH, events.flush()).await;
    Ok(())
}

/// Told when something in these folders changes.
fn nudged_by(paths: Vec<PathBuf>) -> anyhow::Result<Arc<Notify>> {
    let nudge = Arc::new(Notify::new());
    let nudged = Arc::clone(&nudge);
    folders::folders(paths, move || {
        nudged.notify_one();
        true
    })?;
    Ok(nudge)
}

/// Wakes the thread that keeps the folders when there is news for it.
fn forward(news: &News, wake: &Sender<()>) {
    fn one<T: Send + Sync + 'static>(mut news: watch::Receiver<T>, wake: Sender<()>) {
        tokio::spawn(async move { while news.changed().await.is_ok() && wake.send(()).is_ok() {} });
    }
    one(news.seen.clone(), wake.clone());
    one(news.shim.clone(), wake.clone());
    one(news.identity.clone(), wake.clone());
    one(news.node.clone(), wake.clone());
    one(news.built_in.clone(), wake.clone());
}
