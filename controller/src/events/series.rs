//! Which events were told before: the same one again counts up, and its count is posted now and then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Told;

/// A count that went up is posted at most this often.
const REPORT: Duration = Duration::from_secs(60);
/// Not told for this long, an event is a new one.
const FORGET: Duration = Duration::from_secs(360);
/// Series that are remembered. The one told longest ago goes first.
const REMEMBERED: usize = 2048;

/// What is stored of an event.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The event's name in the API server.
    pub(super) name: String,
    pub(super) count: i32,
    last_told: Instant,
    reported: Instant,
    /// Whether the count went up since it was posted.
    ahead: bool,
}

#[derive(Debug, Default)]
pub(super) struct Book(HashMap<Told, Series>);

impl Book {
    /// Whether it was told before, and is counted now.
    pub(super) fn again(&mut self, told: &Told, now: Instant) -> bool {
        let known = self.0.get_mut(told).filter(|s| now.saturating_duration_since(s.last_told) < FORGET);
        known.is_some_and(|series| {
            series.count = series.count.saturating_add(1);
            (series.last_told, series.ahead) = (now, true);
            true
        })
    }

    pub(super) fn posted(&mut self, told: Told, name: String, now: Instant) {
        if self.0.len() >= REMEMBERED {
            let oldest = self.0.iter().min_by_key(|(_, s)| s.last_told).map(|(told, _)| told.clone());
            oldest.and_then(|told| self.0.remove(&told));
        }
        let series = Series { name, count: 1, last_told: now, reported: now, ahead: false };
        self.0.insert(told, series);
    }

    /// What has to be posted now; `all`: without waiting for its time.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<(Told, Series)> {
        self.0.retain(|_, s| s.ahead || now.saturating_duration_since(s.last_told) < FORGET);
        let ripe = |s: &Series| all || now.saturating_duration_since(s.reported) >= REPORT;
        let mut due = Vec::new();
        for (told, series) in self.0.iter_mut().filter(|(_, s)| s.ahead && ripe(s)) {
            (series.ahead, series.reported) = (false, now);
            due.push((told.clone(), series.clone()));
        }
        due
    }

    /// The server has it no more: next time it is a new one.
    pub(super) fn forget(&mut self, told: &Told) {
        self.0.remove(told);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{About, Reason, Severity};
    use super::*;

    fn told(name: &str) -> Told {
        Told {
            about: About::Pod { namespace: "shop".into(), name: name.into(), uid: "u".into() },
            severity: Severity::Warning,
            reason: Reason::NetworkStatusMissing,
            sentence: "no status".into(),
        }
    }

    #[test]
    fn the_same_event_again_counts_up_and_is_posted_once_a_minute() {
        let (mut book, start) = (Book::default(), Instant::now());
        assert!(!book.again(&told("a"), start));
        book.posted(told("a"), "a.1".into(), start);
        for second in 1..=90 {
            assert!(book.again(&told("a"), start + Duration::from_secs(second)));
            let due = book.due(start + Duration::from_secs(second), false);
            assert_eq!(due.len(), usize::from(second == 60), "at {second} s");
        }
        let due = book.due(start + Duration::from_secs(91), true);
        assert_eq!(due.iter().map(|(_, s)| s.count).collect::<Vec<_>>(), [91]);
        assert!(book.due(start + Duration::from_secs(200), true).is_empty());
        assert!(!book.again(&told("a"), start + Duration::from_secs(1000)), "a new one by then");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut book, start) = (Book::default(), Instant::now());
        for n in 0..REMEMBERED + 10 {
            book.posted(told(&n.to_string()), n.to_string(), start + Duration::from_millis(n as u64));
        }
        assert_eq!(book.0.len(), REMEMBERED);
        assert!(!book.again(&told("0"), start + Duration::from_secs(3)));
    }
}
