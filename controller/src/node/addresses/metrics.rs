//! What the node role counts of addresses. The names of pools are labels, at most [`POOLS`] of them; all others are closed.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manifold_address_store::session::Outcome as Came;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::closed::{Closed, begin, label, pairs};

/// Pools with a label of their own; what comes later is counted as `other`.
pub const POOLS: usize = 100;
const OTHER: &str = "other";

label! {
    /// What is with the addresses that this node holds.
    pub(super) enum State {
        Used,
        Free,
        /// On their way back to the cluster.
        Leaving,
    }
}

label! {
    /// What the node role did with a block.
    pub(super) enum Kind {
        Confirm,
        Release,
        TopUp,
        StoreLost,
    }
}

label! {
    pub(super) enum Outcome {
        Done,
        /// Others have it, or there was nothing to do.
        Skipped,
        /// Others changed it each time.
        Contended,
        Failed,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    pool: String,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClaim {
    kind: Kind,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: Kind,
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    addresses: Family<OfPool, Gauge<i64, AtomicI64>>,
    claims: Family<OfClaim, Counter>,
    seconds: Family<OfKind, Histogram>,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self {
            addresses: Family::default(),
            claims: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            known: Arc::default(),
        };
        let pools =
            format!("the first {POOLS} pools have a label of their own, what comes later is `{OTHER}`");
        registry.register(
            "manifold_node_addresses",
            format!("Addresses of each pool that this node holds; {pools}"),
            new.addresses.clone(),
        );
        registry.register(
            "manifold_node_address_claims",
            "What the node agent did with blocks of addresses",
            new.claims.clone(),
        );
        registry.register("manifold_node_address_claim_seconds", "How long that took", new.seconds.clone());
        new
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for state in State::ALL.iter().copied() {
            for pool in ["POOL", OTHER].map(str::to_owned) {
                begin(&self.addresses, &OfPool { pool, state });
            }
        }
        for (kind, outcome) in pairs() {
            begin(&self.claims, &OfClaim { kind, outcome });
        }
        Kind::ALL.iter().for_each(|kind| begin(&self.seconds, &OfKind { kind: *kind }));
    }

    /// What is told after this is all that there is.
    pub(super) fn begin_addresses(&self) {
        self.addresses.clear();
    }

    pub(super) fn addresses(&self, pool: &str, state: State, count: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < POOLS {
            known.insert(pool.to_owned());
        }
        let pool = if known.contains(pool) { pool } else { OTHER }.to_owned();
        self.addresses.get_or_create(&OfPool { pool, state }).inc_by(count.into());
    }

    /// `None`: it failed.
    pub(super) fn did(&self, kind: Kind, came: Option<&Came>, took: Duration) {
        let outcome = match came {
            Some(Came::Done { .. }) => Outcome::Done,
            Some(Came::Skipped { .. }) => Outcome::Skipped,
            Some(Came::Contended) => Outcome::Contended,
            None => Outcome::Failed,
        };
        self.claims.get_or_create(&OfClaim { kind, outcome }).inc();
        self.seconds.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }
}
