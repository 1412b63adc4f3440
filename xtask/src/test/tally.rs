//! What was heard of all suites so far.

use std::collections::BTreeSet;

use super::durations::Durations;
use super::verdict::Outcome;
use crate::progress;

#[derive(Default)]
pub(crate) struct Tally {
    /// Names without their modules, as tests cite rows.
    pub(super) passed: BTreeSet<String>,
    pub(crate) good: usize,
    pub(crate) bad: Vec<String>,
    /// What was not run, and what would let it.
    pub(crate) skipped: Vec<String>,
    pub(super) durations: Durations,
}

impl Tally {
    pub(crate) fn add(&mut self, suite: &str, outcome: Outcome) {
        self.good += outcome.passed.len();
        self.durations.add(suite, outcome.durations);
        self.passed
            .extend(outcome.passed.iter().map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()));
        if !outcome.failed.is_empty() {
            progress::line(&outcome.text);
        }
        self.bad.extend(outcome.failed.into_iter().map(|name| format!("{suite} {name}")));
    }

    /// One that was kept beside this one.
    pub(crate) fn join(&mut self, other: Self) {
        self.passed.extend(other.passed);
        self.good += other.good;
        self.bad.extend(other.bad);
        self.skipped.extend(other.skipped);
        self.durations.join(other.durations);
    }

    /// What a person must know at the end.
    pub(crate) fn tell(&self) {
        for name in &self.skipped {
            progress::line(&progress::verdict(false, &format!("NOT RUN: {name}")));
        }
        self.bad.iter().for_each(|name| progress::line(&format!("failed: {name}")));
    }
}
