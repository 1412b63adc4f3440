//! The longest tests of a run.

use std::time::Duration;

use crate::progress;

/// How many are printed.
const LONGEST: usize = 10;

#[derive(Default)]
pub(super) struct Durations(Vec<(String, Duration)>);

impl Durations {
    pub(super) fn add(&mut self, suite: &str, tests: Vec<(String, Duration)>) {
        self.0.extend(tests.into_iter().map(|(test, took)| (format!("{suite} {test}"), took)));
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Prints the longest tests, and what all took together.
    pub(super) fn print(&mut self) {
        if self.0.is_empty() {
            return;
        }
        self.0.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        progress::line("The longest tests:");
        for (test, took) in self.0.iter().take(LONGEST) {
            progress::line(&format!("  {:>12}  {test}", progress::seconds(*took)));
        }
        let all: Duration = self.0.iter().map(|(_, took)| *took).sum();
        progress::line(&format!("  {:>12}  all {} together", progress::seconds(all), self.0.len()));
    }
}
