//! What every part of the cluster role is given: the API server, the configuration, the words to tell people with.

use std::sync::Arc;

use kube::Client;
use manifold_plan::Policy;
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

    /// Returns when it is time to end.
    pub async fn asked(&mut self) {
        // A sender that is gone means the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}
