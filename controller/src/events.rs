//! Events in plain words, on definitions and pods.

use kube::Client;
use manifold_crds::NadRef;

/// Whether somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Normal,
    Warning,
}

/// What an event is about. A closed set: people filter by these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    NetworkInvalid,
    NetworkValid,
    NetworkKept,
    NetworkReleased,
    NetworkStatusMissing,
    PolicyMissing,
    DefinitionRestored,
    DefaultNetworkRestored,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    Definition { reference: NadRef, uid: String },
    Pod { namespace: String, name: String, uid: String },
}

/// Posts events; the same one again within a few minutes only counts up. Never fails its caller: an event that cannot be
/// posted is a line in the log.
#[derive(Clone)]
pub struct Events {
    #[expect(dead_code, reason = "until the recorder stands")]
    client: Client,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub async fn tell(&self, about: &About, severity: Severity, reason: Reason, sentence: &str) {
        tracing::info!(?about, ?severity, ?reason, "{sentence}");
    }
}
