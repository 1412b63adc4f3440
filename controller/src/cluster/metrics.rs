//! What the frame of the controller counts. Labels come from the enums below and from nowhere else.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::closed::{begin, label, pairs};

label! {
    /// What is kept as it should be.
    pub enum Kind {
        Crd,
        DefaultNetwork,
    }
}

label! {
    pub enum Outcome {
        Made,
        Restored,
        Failed,
    }
}

label! {
    /// What somebody else installs and we only look after.
    #[derive(PartialOrd, Ord)]
    pub enum Guard {
        Policy,
        Binding,
        Webhook,
    }
}

label! {
    pub enum State {
        Missing,
        Changed,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeptLabels {
    object: Kind,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GuardLabels {
    kind: Guard,
    state: State,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    leader: Gauge,
    kept: Family<KeptLabels, Counter>,
    guards: Family<GuardLabels, Gauge<i64, AtomicI64>>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { leader: Gauge::default(), kept: Family::default(), guards: Family::default() };
        registry.register(
            "manifold_leader",
            "1 while this replica holds the Lease and writes",
            metrics.leader.clone(),
        );
        registry.register(
            "manifold_kept_objects",
            "Times that the CRD or the default network was made, restored, or could not be",
            metrics.kept.clone(),
        );
        registry.register(
            "manifold_policies_not_in_place",
            "Admission policies, bindings and webhook configurations that are missing or changed",
            metrics.guards.clone(),
        );
        metrics.not_in_place(|_, _| 0);
        metrics
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for (object, outcome) in pairs() {
            begin(&self.kept, &KeptLabels { object, outcome });
        }
    }

    pub fn kept(&self, object: Kind, outcome: Outcome) {
        self.kept.get_or_create(&KeptLabels { object, outcome }).inc();
    }

    pub fn not_in_place(&self, count: impl Fn(Guard, State) -> i64) {
        for (kind, state) in pairs() {
            self.guards.get_or_create(&GuardLabels { kind, state }).set(count(kind, state));
        }
    }

    /// Says that this replica leads, until the answer is dropped.
    pub fn leading(&self) -> Leading {
        self.leader.set(1);
        Leading(self.clone())
    }
}

#[derive(Debug)]
pub struct Leading(Metrics);

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.leader.set(0);
        // The next leader looks; what this one saw last must not stand for ever.
        self.0.not_in_place(|_, _| 0);
    }
}
