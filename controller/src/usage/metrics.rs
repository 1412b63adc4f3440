//! What this part of the controller counts. Labels come from the enums below and from nothing else.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::closed::{Closed, begin, label, pairs};
use crate::feed::{Cause, Trouble};

label! {
    pub(super) enum Resource {
        Pods,
        Definitions,
    }
}

label! {
    /// What was written.
    pub(super) enum Part {
        Status,
        Finalizer,
    }
}

label! {
    /// What became of it.
    pub(super) enum Outcome {
        Written,
        /// Somebody else changed the object first.
        Conflict,
        /// The object is gone.
        Gone,
        /// The API server does not take it, and would not take it again.
        Refused,
        /// Trying again can help.
        Failed,
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfResource {
    resource: Resource,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Restart {
    resource: Resource,
    cause: Cause,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Written {
    part: Part,
    outcome: Outcome,
}

/// Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pods: Gauge,
    definitions: Gauge,
    definitions_in_use: Gauge,
    definitions_invalid: Gauge,
    without_status: Gauge,
    writes: Family<Written, Counter>,
    lag: Histogram,
    restarts: Family<Restart, Counter>,
    malformed: Family<OfResource, Counter>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        // 2 s is what is promised; the buckets tell how near to it we are.
        let lag = [0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];
        let new = Self {
            pods: Gauge::default(),
            definitions: Gauge::default(),
            definitions_in_use: Gauge::default(),
            definitions_invalid: Gauge::default(),
            without_status: Gauge::default(),
            writes: Family::default(),
            lag: Histogram::new(lag),
            restarts: Family::default(),
            malformed: Family::default(),
        };
        new.register_gauges(registry);
        registry.register("manifold_usage_writes", "Writes to definitions", new.writes.clone());
        let told = "From a change of a definition or its pods to the status that reports it; without the default network, whose \
                    count may take ten seconds";
        registry.register("manifold_usage_lag_seconds", told, new.lag.clone());
        registry.register(
            "manifold_usage_watch_restarts",
            "Restarted lists and watches",
            new.restarts.clone(),
        );
        registry.register(
            "manifold_usage_malformed_objects",
            "Objects that could not be read",
            new.malformed.clone(),
        );
        new
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for (part, outcome) in pairs() {
            begin(&self.writes, &Written { part, outcome });
        }
        for (resource, cause) in pairs() {
            begin(&self.restarts, &Restart { resource, cause });
        }
        for resource in Resource::ALL.iter().copied() {
            begin(&self.malformed, &OfResource { resource });
        }
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("manifold_usage_pods", "Pods that count as users of networks", &self.pods);
        gauge("manifold_usage_definitions", "Definitions", &self.definitions);
        gauge("manifold_usage_definitions_in_use", "Definitions that pods use", &self.definitions_in_use);
        gauge(
            "manifold_usage_definitions_invalid",
            "Definitions that no pod can use",
            &self.definitions_invalid,
        );
        gauge(
            "manifold_usage_pods_without_status",
            "Running pods that asked for networks and have no status",
            &self.without_status,
        );
    }

    pub(super) fn holds(&self, pods: usize, definitions: usize, in_use: usize, invalid: usize) {
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.pods, pods);
        set(&self.definitions, definitions);
        set(&self.definitions_in_use, in_use);
        set(&self.definitions_invalid, invalid);
    }

    pub(super) fn without_status(&self, pods: usize) {
        self.without_status.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    pub(super) fn wrote(&self, part: Part, outcome: Outcome) {
        self.writes.get_or_create(&Written { part, outcome }).inc();
    }

    pub(super) fn lagged(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }

    pub(super) fn trouble(&self, resource: Resource, trouble: Trouble) {
        match trouble {
            Trouble::Malformed => self.malformed(resource),
            Trouble::Restarted(cause) => {
                self.restarts.get_or_create(&Restart { resource, cause }).inc();
            }
        }
    }

    pub(super) fn malformed(&self, resource: Resource) {
        self.malformed.get_or_create(&OfResource { resource }).inc();
    }
}
