//! What every part of the controller is given: the API server, the configuration, the words to tell people with.

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use manifold_plan::Policy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::events::Events;

#[derive(Clone)]
pub struct Context {
    pub client: Client,
    pub config: Arc<Config>,
    pub policy: Arc<Policy>,
    pub events: Events,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Context {
    pub fn new(client: Client, config: Config) -> anyhow::Result<Self> {
        let policy = Arc::new(config.policy()?);
        Ok(Self { events: Events::new(client.clone()), client, config: Arc::new(config), policy })
    }
}

/// Told once, to everything that runs: come to an end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Asked by SIGTERM or SIGINT.
    pub fn on_signals() -> anyhow::Result<Self> {
        let (asked, stop) = Self::new();
        let mut term = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
        let mut int = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::info!("received a signal to stop");
            asked.send_replace(true);
            // Held until the process ends: a sender that is gone means "stop" as well.
            std::future::pending::<()>().await;
        });
        Ok(stop)
    }

    /// Returns when it is time to end.
    pub async fn asked(&mut self) {
        // A sender that is gone means the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}
