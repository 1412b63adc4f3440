//! What the node agent counts. Labels come from the enums below; the names of networks are the only others, and at most
//! [`NETWORKS`] of them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use manifold_plan::check_config::bundled_types;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::rival::Rival;
use crate::closed::{Closed, begin, label, pairs};

/// Networks with a label of their own; what comes later is counted as `other`.
pub const NETWORKS: usize = 100;
const OTHER: &str = "other";

label! {
    pub enum Verb {
        Add,
        Del,
    }
}

label! {
    /// How a call or one of its networks ended.
    pub enum Ended {
        Success,
        Failed,
        /// Another pod of that name is there by now.
        Superseded,
        /// A DEL that is given up for now and tried again by the sweep.
        Parked,
    }
}

label! {
    pub enum Lost {
        /// The spool was full.
        Dropped,
        /// The line made no sense.
        Damaged,
    }
}

label! {
    pub enum File {
        Executable,
        Mirror,
        Configuration,
    }
}

label! {
    pub enum Written {
        Installed,
        Restored,
    }
}

label! {
    pub enum Renewal {
        Renewed,
        Failed,
    }
}

label! {
    pub enum Publication {
        Published,
        Superseded,
        Failed,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    verb: Verb,
    outcome: Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNetwork {
    verb: Verb,
    network: String,
    outcome: Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    verb: Verb,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerb {
    verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLoss {
    reason: Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFile {
    file: File,
    outcome: Written,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRival {
    rival: Rival,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRenewal {
    outcome: Renewal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPublication {
    outcome: Publication,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Call, Counter>,
    networks: Family<OfNetwork, Counter>,
    seconds: Family<OfVerb, Histogram>,
    network_seconds: Family<OfType, Histogram>,
    lost: Family<OfLoss, Counter>,
    files: Family<OfFile, Counter>,
    rivals: Family<OfRival, Counter>,
    renewals: Family<OfRenewal, Counter>,
    publications: Family<OfPublication, Counter>,
    unpublished: Gauge<i64, AtomicI64>,
    serves: Gauge<i64, AtomicI64>,
    token_expires: Gauge<f64, AtomicU64>,
    next_renewal: Gauge<f64, AtomicU64>,
    known: Arc<Mutex<BTreeSet<String>>>,
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0])
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let all = Self {
            calls: Family::default(),
            networks: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            network_seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            lost: Family::default(),
            files: Family::default(),
            rivals: Family::default(),
            renewals: Family::default(),
            publications: Family::default(),
            unpublished: Gauge::default(),
            serves: Gauge::default(),
            token_expires: Gauge::default(),
            next_renewal: Gauge::default(),
            known: Arc::default(),
        };
        registry.register(
            "manifold_node_calls",
            "Calls of the runtime that ended; superseded: another pod now has that name; parked: a DEL that the sweep retries",
            all.calls.clone(),
        );
        registry.register(
            "manifold_node_networks",
            format!(
                "Networks that were attached or detached; the first {NETWORKS} have a label of their own, later ones are `{OTHER}`"
            ),
            all.networks.clone(),
        );
        registry.register("manifold_node_call_seconds", "How long a call took", all.seconds.clone());
        registry.register(
            "manifold_node_network_seconds",
            "How long the plugins of one network took, by the type of the first one, where all went well; `other`: a type \
             that is not bundled",
            all.network_seconds.clone(),
        );
        registry.register(
            "manifold_node_outcomes_lost",
            "Calls whose outcome was lost; dropped: the spool was full; damaged: the line could not be read",
            all.lost.clone(),
        );
        registry.register(
            "manifold_node_files",
            "Files that were installed on the node or restored",
            all.files.clone(),
        );
        registry.register(
            "manifold_node_rivals",
            "How often the configuration was restored, by the program that had undone it where that is known; until then pods start without their networks",
            all.rivals.clone(),
        );
        registry.register(
            "manifold_node_token_renewals",
            "Renewals of the plugin's token",
            all.renewals.clone(),
        );
        registry.register(
            "manifold_node_statuses",
            "Statuses that the node agent published",
            all.publications.clone(),
        );
        registry.register(
            "manifold_node_statuses_unpublished",
            "Pods of this node whose status is not at the API server yet",
            all.unpublished.clone(),
        );
        registry.register("manifold_node_serves", "1 while the node can attach pods", all.serves.clone());
        registry.register(
            "manifold_node_token_expires_seconds",
            "When the plugin's token expires, in seconds since 1970",
            all.token_expires.clone(),
        );
        registry.register(
            "manifold_node_token_next_renewal_seconds",
            "Time from the last renewal of the plugin's token, or the last attempt, to the next one",
            all.next_renewal.clone(),
        );
        all
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for (verb, outcome) in pairs() {
            begin(&self.calls, &Call { verb, outcome });
            for network in ["NAMESPACE/NAME", OTHER].map(str::to_owned) {
                begin(&self.networks, &OfNetwork { verb, network, outcome });
            }
        }
        for verb in Verb::ALL.iter().copied() {
            begin(&self.seconds, &OfVerb { verb });
        }
        for verb in Verb::ALL.iter().copied() {
            for r#type in bundled_types().chain([OTHER]) {
                begin(&self.network_seconds, &OfType { verb, r#type });
            }
        }
        for reason in Lost::ALL.iter().copied() {
            begin(&self.lost, &OfLoss { reason });
        }
        for (file, outcome) in pairs() {
            begin(&self.files, &OfFile { file, outcome });
        }
        for rival in Rival::ALL.iter().copied() {
            begin(&self.rivals, &OfRival { rival });
        }
        for outcome in Renewal::ALL.iter().copied() {
            begin(&self.renewals, &OfRenewal { outcome });
        }
        for outcome in Publication::ALL.iter().copied() {
            begin(&self.publications, &OfPublication { outcome });
        }
    }

    pub fn call(&self, verb: Verb, outcome: Ended, seconds: f64) {
        self.calls.get_or_create(&Call { verb, outcome }).inc();
        self.seconds.get_or_create(&OfVerb { verb }).observe(seconds);
    }

    pub fn network(&self, verb: Verb, network: &str, outcome: Ended) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < NETWORKS {
            known.insert(network.to_owned());
        }
        let network = if known.contains(network) { network } else { OTHER }.to_owned();
        self.networks.get_or_create(&OfNetwork { verb, network, outcome }).inc();
    }

    /// `kind`: the type of its first plugin. Types of others have one label.
    pub fn network_took(&self, verb: Verb, kind: &str, seconds: f64) {
        let r#type = bundled_types().find(|known| *known == kind).unwrap_or(OTHER);
        self.network_seconds.get_or_create(&OfType { verb, r#type }).observe(seconds);
    }

    pub fn lost(&self, reason: Lost, count: u64) {
        self.lost.get_or_create(&OfLoss { reason }).inc_by(count);
    }

    pub fn wrote(&self, file: File, outcome: Written) {
        self.files.get_or_create(&OfFile { file, outcome }).inc();
    }

    pub fn undone_by(&self, rival: Rival) {
        self.rivals.get_or_create(&OfRival { rival }).inc();
    }

    pub fn renewed(&self, outcome: Renewal) {
        self.renewals.get_or_create(&OfRenewal { outcome }).inc();
    }

    pub fn token_expires(&self, at: f64) {
        self.token_expires.set(at);
    }

    pub fn next_renewal(&self, after: f64) {
        self.next_renewal.set(after);
    }

    pub fn published(&self, outcome: Publication) {
        self.publications.get_or_create(&OfPublication { outcome }).inc();
    }

    pub fn unpublished(&self, count: usize) {
        self.unpublished.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn serves(&self, does: bool) {
        self.serves.set(does.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_networks_are_bounded() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        for n in 0..NETWORKS + 50 {
            metrics.network(Verb::Add, &format!("shop/net-{n}"), Ended::Success);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let series: Vec<&str> =
            text.lines().filter(|l| l.starts_with("manifold_node_networks_total")).collect();
        assert_eq!(series.len(), NETWORKS + 1);
        assert!(series.iter().any(|s| s.contains("network=\"other\"") && s.ends_with(" 50")), "{series:?}");
    }
}
