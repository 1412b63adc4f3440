//! Events in plain words, on definitions and pods.

mod object;
mod post;
mod series;

use kube::Client;
use manifold_crds::NadRef;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use crate::closed::{Closed, begin, label};
pub use object::is_told_by;

/// Events that wait to be posted. What comes when as many wait is dropped and counted.
const QUEUE: usize = 512;

/// Whether somebody has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    CrdRestored,
    DefaultNetworkRestored,
    NetworksAttached,
    NetworksNotAttached,
    NetworksNotDetached,
    NetworkStatusNotPublished,
    ConfigurationRestored,
    ExecutableRestored,
    FoldersNotRead,
    NodeUninstalled,
    NodeNotUninstalled,
    AddressesExhausted,
    AddressesNearlyExhausted,
    AddressesAvailable,
    AddressConflict,
    AddressesReclaimed,
    AddressesLost,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    Definition { reference: NadRef, uid: String },
    Pod { namespace: String, name: String, uid: String },
    Crd { name: String, uid: String },
    Node { name: String, uid: String },
    Pool { name: String, uid: String },
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    about: About,
    severity: Severity,
    reason: Reason,
    sentence: String,
}

enum Message {
    Tell(Told),
    Flush(oneshot::Sender<()>),
}

/// Posts events; the same one again within a few minutes only counts up. Never fails or holds up its caller: an event that
/// cannot be posted is a line in the log and a count.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Message>,
    metrics: Metrics,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// With counts that nobody reads. Called within a runtime, as [`Events::start`] is.
    pub fn new(client: Client) -> Self {
        Self::start(client, "manifold-controller", Metrics::default())
    }

    /// `replica`: who tells.
    pub fn start(client: Client, replica: &str, metrics: Metrics) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let poster = post::Poster::new(client, replica, metrics.clone());
        tokio::spawn(poster.run(waiting));
        Self { queue, metrics }
    }

    pub async fn tell(&self, about: &About, severity: Severity, reason: Reason, sentence: &str) {
        let told = Told { about: about.clone(), severity, reason, sentence: sentence.to_owned() };
        if self.queue.try_send(Message::Tell(told)).is_err() {
            self.metrics.count(Outcome::Dropped);
            tracing::warn!(?about, ?reason, "too many events are queued; dropped: {sentence}");
        }
    }

    /// Returns when everything told so far is posted, or could not be.
    pub async fn flush(&self) {
        let (done, posted) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            let _ = posted.await;
        }
    }
}

label! {
    enum Outcome {
        Posted,
        Counted,
        Dropped,
        Failed,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

/// What became of events.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Family<Labels, Counter>);

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "manifold_events",
            "Events by outcome: posted, counted in a series, dropped because the queue was full, or failed",
            metrics.0.clone(),
        );
        metrics
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for outcome in Outcome::ALL.iter().copied() {
            begin(&self.0, &Labels { outcome });
        }
    }

    fn count(&self, outcome: Outcome) {
        self.0.get_or_create(&Labels { outcome }).inc();
    }
}
