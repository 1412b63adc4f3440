//! When a definition is written: at most once a second each, a bounded number of all of them, failures with a growing pause.
//!
//! Pure: it is told the time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use manifold_crds::NadRef;

/// How fast definitions are written.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two writes of one definition.
    pub each: Duration,
    /// Writes a second, of all.
    pub per_second: f64,
    /// At the same time.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { each: Duration::from_secs(1), per_second: 40.0, at_once: 8 }
    }
}

/// How a write ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// Known better by now: at once again.
    Stale,
    /// Time can help.
    Failed,
    /// Only a person can help; looked at again now and then.
    Refused,
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    waiting: HashMap<NadRef, Waiting>,
    busy: HashSet<NadRef>,
    after: HashMap<NadRef, After>,
    allowance: f64,
    counted: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The first change that is not written yet.
    since: Instant,
    is_urgent: bool,
}

#[derive(Clone, Copy, Debug)]
struct After {
    due: Instant,
    failures: u32,
}

impl Queue {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            waiting: HashMap::new(),
            busy: HashSet::new(),
            after: HashMap::new(),
            allowance: limits.per_second,
            counted: now,
        }
    }

    /// Something about this definition changed. Urgent changes do not wait for the second to be over.
    pub(super) fn want(&mut self, nad: &NadRef, is_urgent: bool, now: Instant) {
        match self.waiting.get_mut(nad) {
            Some(waiting) => waiting.is_urgent |= is_urgent,
            None => drop(self.waiting.insert(nad.clone(), Waiting { since: now, is_urgent })),
        }
    }

    /// A definition to be written now, and since when it waits.
    pub(super) fn take(&mut self, now: Instant) -> Option<(NadRef, Instant)> {
        self.count(now);
        if self.allowance < 1.0 || self.busy.len() >= self.limits.at_once {
            return None;
        }
        let due =
            self.waiting.iter().filter(|(nad, w)| !self.busy.contains(*nad) && self.due(nad, **w) <= now);
        let (nad, since) =
            due.min_by_key(|(_, w)| (!w.is_urgent, w.since)).map(|(nad, w)| (nad.clone(), w.since))?;
        self.allowance -= 1.0;
        self.waiting.remove(&nad);
        self.busy.insert(nad.clone());
        Some((nad, since))
    }

    /// When to look again, if nothing else happens.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.busy.len() >= self.limits.at_once {
            return None;
        }
        let free = self.waiting.iter().filter(|(nad, _)| !self.busy.contains(*nad));
        let due = free.map(|(nad, waiting)| self.due(nad, *waiting)).min()?;
        let missing = (1.0 - self.allowance).max(0.0) / self.limits.per_second;
        Some(due.max(self.counted + Duration::from_secs_f64(missing)))
    }

    /// There was nothing to write, which costs nobody anything.
    pub(super) fn spared(&mut self, nad: &NadRef) {
        self.busy.remove(nad);
        self.allowance += 1.0;
    }

    /// What was taken is done. `since` is what `take` told.
    pub(super) fn done(&mut self, nad: &NadRef, since: Instant, ended: Ended, now: Instant) {
        self.busy.remove(nad);
        let failures = self.after.get(nad).map_or(0, |after| after.failures);
        let (pause, failures) = match ended {
            Ended::Well => (self.limits.each, 0),
            // A definition that others write all the time is not fought over.
            Ended::Stale => {
                (if failures < 3 { Duration::ZERO } else { self.limits.each }, failures.saturating_add(1))
            }
            Ended::Failed => (growing(self.limits.each / 2, failures, 30), failures.saturating_add(1)),
            Ended::Refused => (growing(Duration::from_secs(15), failures, 300), failures.saturating_add(1)),
        };
        self.after.insert(nad.clone(), After { due: now + pause, failures });
        if ended != Ended::Well {
            let waiting = self.waiting.entry(nad.clone()).or_insert(Waiting { since, is_urgent: false });
            waiting.since = waiting.since.min(since);
        }
    }

    /// What was written just now is not written again for so many times the usual pause, unless it is urgent.
    pub(super) fn rest(&mut self, nad: &NadRef, times: u32, now: Instant) {
        let due = now + self.limits.each.saturating_mul(times);
        if let Some(after) = self.after.get_mut(nad) {
            after.due = after.due.max(due);
        }
    }

    /// The definition is gone.
    pub(super) fn forget(&mut self, nad: &NadRef) {
        self.waiting.remove(nad);
        self.after.remove(nad);
    }

    fn due(&self, nad: &NadRef, waiting: Waiting) -> Instant {
        match self.after.get(nad) {
            // Urgency ends where failures begin.
            Some(after) if after.failures > 0 || !waiting.is_urgent => after.due,
            _ => waiting.since,
        }
    }

    fn count(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.counted).as_secs_f64() * self.limits.per_second;
        self.allowance = (self.allowance + gained).min(self.limits.per_second);
        self.counted = now;
    }
}

fn growing(first: Duration, failures: u32, most_seconds: u64) -> Duration {
    first.saturating_mul(1 << failures.min(12)).min(Duration::from_secs(most_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nad(n: u32) -> NadRef {
        NadRef::new("shop", &format!("net-{n}")).unwrap()
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn changes_within_a_second_are_written_together() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits::default(), start);
        queue.want(&nad(1), false, start);
        assert_eq!(queue.take(start), Some((nad(1), start)));
        queue.want(&nad(1), false, after(start, 5));
        assert_eq!(queue.take(after(start, 5)), None, "one write at a time");
        queue.done(&nad(1), start, Ended::Well, after(start, 10));
        queue.want(&nad(1), false, after(start, 500));
        assert_eq!(queue.take(after(start, 500)), None);
        assert_eq!(queue.next(), Some(after(start, 1010)));
        assert_eq!(
            queue.take(after(start, 1010)),
            Some((nad(1), after(start, 5))),
            "and the first change counts"
        );
    }

    #[test]
    fn a_first_use_does_not_wait() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits::default(), start);
        queue.want(&nad(1), false, start);
        queue.take(start).unwrap();
        queue.done(&nad(1), start, Ended::Well, start);
        queue.want(&nad(1), false, after(start, 10));
        assert_eq!(queue.take(after(start, 10)), None);
        queue.want(&nad(1), true, after(start, 20));
        assert!(queue.take(after(start, 20)).is_some());
    }

    #[test]
    fn one_that_rests_waits_longer_unless_it_is_urgent() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits::default(), start);
        queue.want(&nad(1), false, start);
        queue.take(start).unwrap();
        queue.done(&nad(1), start, Ended::Well, start);
        queue.rest(&nad(1), 10, start);
        queue.want(&nad(1), false, start);
        assert_eq!(queue.next(), Some(after(start, 10_000)));
        queue.want(&nad(1), true, after(start, 20));
        assert!(queue.take(after(start, 20)).is_some());
    }

    #[test]
    fn all_definitions_together_have_a_limit() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits { per_second: 10.0, at_once: 100, ..Limits::default() }, start);
        (0..30).for_each(|n| queue.want(&nad(n), false, start));
        let mut taken = |now| std::iter::from_fn(|| queue.take(now)).count();
        assert_eq!(taken(start), 10);
        assert_eq!(taken(after(start, 500)), 5);
        assert_eq!(taken(after(start, 500)), 0);
        assert_eq!(taken(after(start, 60_000)), 10, "an idle minute saves up one second");
    }

    #[test]
    fn only_so_many_are_written_at_the_same_time() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits { at_once: 2, ..Limits::default() }, start);
        (0..3).for_each(|n| queue.want(&nad(n), false, start));
        let (first, _) = queue.take(start).unwrap();
        assert!(queue.take(start).is_some() && queue.take(start).is_none());
        assert_eq!(queue.next(), None, "an end of a write is what is waited for");
        queue.done(&first, start, Ended::Well, start);
        assert!(queue.take(start).is_some());
    }

    #[test]
    fn failures_wait_by_their_kind() {
        let start = Instant::now();
        let pauses = |ended: Ended, times: usize| {
            let mut queue = Queue::new(Limits::default(), start);
            let mut now = start;
            queue.want(&nad(1), true, now);
            let mut pauses = Vec::new();
            for _ in 0..times {
                queue.take(now).expect("it is due");
                queue.done(&nad(1), start, ended, now);
                let next = queue.next().expect("it is tried again");
                pauses.push((next - now).as_millis());
                now = next;
            }
            pauses
        };
        assert_eq!(pauses(Ended::Stale, 5), [0, 0, 0, 1000, 1000]);
        assert_eq!(pauses(Ended::Failed, 4), [500, 1000, 2000, 4000]);
        assert_eq!(pauses(Ended::Failed, 10).last(), Some(&30_000));
        assert_eq!(pauses(Ended::Refused, 2), [15_000, 30_000]);
        assert_eq!(pauses(Ended::Refused, 10).last(), Some(&300_000));
    }

    #[test]
    fn what_needed_no_write_costs_nothing() {
        let start = Instant::now();
        let mut queue = Queue::new(Limits { per_second: 1.0, ..Limits::default() }, start);
        for n in 0..20 {
            queue.want(&nad(n), false, start);
            let (taken, _) = queue.take(start).expect("the allowance is whole");
            queue.spared(&taken);
        }
    }
}
