//! How many reviews there were, how they ended, how long they took; and when the certificate ends.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::closed::{Closed, begin, label, pairs};

label! {
    /// What a review was about.
    pub enum Subject {
        Definition,
        Pod,
        /// What makes pods.
        Workload,
        /// Of addresses.
        Pool,
    }
}

label! {
    /// How a review ended.
    pub enum Ending {
        Allowed,
        /// Allowed, with warnings.
        Warned,
        Refused,
        /// What came was no review.
        Unreadable,
        /// No answer within the time, or a handler that ended badly: the API server goes on without us.
        Unanswered,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    subject: Subject,
    ending: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubjectLabel {
    subject: Subject,
}

/// The metrics of admission; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    reviews: Family<Labels, Counter>,
    seconds: Family<SubjectLabel, Histogram, fn() -> Histogram>,
    certificate_expires: Gauge,
}

/// From one millisecond to the two seconds after which the API server hangs up.
fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0])
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            certificate_expires: Gauge::default(),
        };
        registry.register(
            "manifold_admission_reviews",
            "Admission reviews by subject and ending",
            metrics.reviews.clone(),
        );
        registry.register(
            "manifold_admission_review_seconds",
            "How long admission reviews took",
            metrics.seconds.clone(),
        );
        registry.register(
            "manifold_webhook_certificate_expiry_timestamp_seconds",
            "When the webhook's serving certificate ends, in seconds since 1970; 0 while there is none",
            metrics.certificate_expires.clone(),
        );
        metrics
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for (subject, ending) in pairs() {
            begin(&self.reviews, &Labels { subject, ending });
        }
        for subject in Subject::ALL.iter().copied() {
            begin(&self.seconds, &SubjectLabel { subject });
        }
    }

    pub(super) fn reviewed(&self, subject: Subject, ending: Ending, took: Duration) {
        self.reviews.get_or_create(&Labels { subject, ending }).inc();
        self.seconds.get_or_create(&SubjectLabel { subject }).observe(took.as_secs_f64());
    }

    pub(super) fn certificate_until(&self, expires: Timestamp) {
        self.certificate_expires.set(expires.as_second());
    }

    /// Whether handshakes succeed.
    pub fn has_certificate(&self) -> bool {
        self.certificate_expires.get() != 0
    }

    /// How many reviews ended so.
    pub fn reviews(&self, subject: Subject, ending: Ending) -> u64 {
        self.reviews.get_or_create(&Labels { subject, ending }).get()
    }
}
