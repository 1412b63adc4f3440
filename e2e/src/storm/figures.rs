//! What a suite counted: how many it tried, what went wrong, and what that says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// No more than this is told of one suite; the rest would say the same.
const MOST_TOLD: usize = 12;

/// When a suite stops.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub end: Instant,
    /// Even when there is time left.
    pub most: u64,
}

impl Budget {
    pub fn new(time: Duration, most: u64) -> Self {
        Self { end: Instant::now() + time, most }
    }

    pub fn is_spent(&self, done: u64) -> bool {
        done >= self.most || Instant::now() >= self.end
    }
}

/// The figures of one suite.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What was tried, such as `kills of ADD`, and how often.
    pub tried: BTreeMap<String, u64>,
    /// Counted beside, such as answers.
    pub noted: BTreeMap<String, u64>,
    /// Measured beside: a name and a text.
    pub measured: BTreeMap<String, String>,
    /// One sentence each, with what repeats it.
    pub bad: Vec<String>,
    pub took: Duration,
}

impl Figures {
    pub fn count(&mut self, what: &str) {
        *self.tried.entry(what.to_owned()).or_default() += 1;
    }

    pub fn all(&self) -> u64 {
        self.tried.values().sum()
    }

    pub fn join(&mut self, other: Self) {
        for (what, count) in other.tried {
            *self.tried.entry(what).or_default() += count;
        }
        for (what, count) in other.noted {
            *self.noted.entry(what).or_default() += count;
        }
        self.measured.extend(other.measured);
        self.bad.extend(other.bad);
        self.took = self.took.max(other.took);
    }

    /// Asserts that there was something to try and that nothing went wrong.
    #[track_caller]
    pub fn must_be_clean(&self, at_least: u64) {
        assert!(
            self.bad.is_empty(),
            "{} of {} went wrong:\n  {}",
            self.bad.len(),
            self.all(),
            self.told().join("\n  ")
        );
        assert!(self.all() >= at_least, "only {} were tried, not {at_least}: {:?}", self.all(), self.tried);
    }

    /// The first of what went wrong.
    pub fn told(&self) -> Vec<String> {
        self.bad.iter().take(MOST_TOLD).cloned().collect()
    }

    /// `0 of 5,000 (≤ 0.06 %)`: with 95 % confidence no more than 3/n go wrong where none of n did.
    pub fn verdict(wrong: u64, tried: u64) -> String {
        let of = format!("{} of {}", grouped(wrong), grouped(tried));
        match (wrong, tried) {
            (_, 0) => "not run".to_owned(),
            (0, 1..) => format!("{of} (at most {} %)", percent(300.0 / tried as f64)),
            _ => of,
        }
    }
}

fn percent(value: f64) -> String {
    if value >= 1.0 { format!("{value:.1}") } else { format!("{value:.3}") }
}

/// `12,345`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_n_is_told_with_its_bound() {
        assert_eq!(Figures::verdict(0, 5000), "0 of 5,000 (at most 0.060 %)");
        assert_eq!(Figures::verdict(0, 100), "0 of 100 (at most 3.0 %)");
        assert_eq!(Figures::verdict(2, 1_234_567), "2 of 1,234,567");
        assert_eq!(Figures::verdict(0, 0), "not run");
    }

    #[test]
    #[should_panic(expected = "only 1 were tried, not 2")]
    fn a_suite_that_tried_too_little_has_shown_nothing() {
        let mut figures = Figures::default();
        figures.count("kills");
        figures.must_be_clean(2);
    }
}
