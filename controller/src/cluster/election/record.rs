//! What stands in a Lease, and what a candidate may conclude from it.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub holder: Option<String>,
    /// As the holder wrote it: only ever compared with itself.
    pub renewed: Option<String>,
    pub acquired: Option<MicroTime>,
    pub lasts: Duration,
    pub transitions: i32,
    pub resource_version: String,
}

impl Record {
    pub fn is_held_by(&self, identity: &str) -> bool {
        self.holder.as_deref() == Some(identity)
    }

    fn is_free(&self) -> bool {
        self.holder.as_deref().is_none_or(str::is_empty)
    }

    /// Whether the holder gave no sign of life between the two.
    fn is_unchanged_since(&self, before: &Self) -> bool {
        (&self.holder, &self.renewed, self.transitions)
            == (&before.holder, &before.renewed, before.transitions)
    }
}

/// The holder's last sign of life, and when it was first seen by the own clock.
#[derive(Clone, Debug)]
pub struct Seen {
    pub record: Record,
    pub at: Instant,
    /// Whether the object is no longer there.
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Take,
    Wait,
}

impl Seen {
    /// Keeps the time of what was seen before while nothing changed.
    pub fn follow(seen: &mut Option<Self>, found: Record) -> &mut Self {
        let at = match seen.take() {
            Some(before) if found.is_unchanged_since(&before.record) => before.at,
            _ => Instant::now(),
        };
        seen.insert(Self { record: found, at, gone: false })
    }

    /// A Lease that another candidate created first. This candidate has not read it yet. If the object is deleted before the next
    /// read, its holder still leads until its term ends.
    pub fn unread(lasts: Duration, now: Instant) -> Self {
        let record = Record {
            holder: Some("another candidate".to_owned()),
            renewed: None,
            acquired: None,
            lasts,
            transitions: 0,
            resource_version: String::new(),
        };
        Self { record, at: now, gone: false }
    }

    /// The object is not there. Its holder may not know yet, whatever was thought of it before: the time counts anew.
    pub fn gone(&mut self, identity: &str, now: Instant) -> Step {
        if !self.gone {
            (self.gone, self.at) = (true, now);
        }
        self.step(identity, now)
    }

    pub fn expires_in(&self, now: Instant) -> Duration {
        (self.at + self.record.lasts).saturating_duration_since(now)
    }

    pub fn step(&self, identity: &str, now: Instant) -> Step {
        let ours = self.record.is_held_by(identity);
        match self.record.is_free() || ours || self.expires_in(now).is_zero() {
            true => Step::Take,
            false => Step::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: Option<&str>, renewed: &str) -> Record {
        Record {
            holder: holder.map(Into::into),
            renewed: Some(renewed.into()),
            acquired: None,
            lasts: Duration::from_secs(10),
            transitions: 3,
            resource_version: "1".into(),
        }
    }

    fn step(record: Record, seconds: u64) -> Step {
        let at = Instant::now();
        Seen { record, at, gone: false }.step("me", at + Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_ours_or_unrenewed_for_its_whole_length() {
        assert_eq!(step(record(Some("other"), "t1"), 9), Step::Wait);
        assert_eq!(step(record(Some("other"), "t1"), 10), Step::Take);
        assert_eq!(step(record(None, "t1"), 0), Step::Take);
        assert_eq!(step(record(Some(""), "t1"), 0), Step::Take);
        assert_eq!(step(record(Some("me"), "t1"), 0), Step::Take);
    }

    #[test]
    fn of_a_lease_that_was_deleted_the_time_counts_anew_even_if_it_seemed_to_be_over() {
        let at = Instant::now();
        let mut seen = Seen { record: record(Some("other"), "t1"), at, gone: false };
        let late = at + Duration::from_secs(60);
        assert_eq!(seen.gone("me", late), Step::Wait);
        assert_eq!(seen.gone("me", late + Duration::from_secs(9)), Step::Wait);
        assert_eq!(seen.gone("me", late + Duration::from_secs(10)), Step::Take);
    }

    #[test]
    fn whoever_was_too_late_to_make_the_lease_gives_its_holder_the_time_if_it_is_deleted_at_once() {
        let at = Instant::now();
        let mut seen = Seen::unread(Duration::from_secs(10), at);
        let next = at + Duration::from_secs(2);
        assert_eq!(seen.gone("me", next), Step::Wait);
        assert_eq!(seen.gone("me", next + Duration::from_secs(9)), Step::Wait);
        assert_eq!(seen.gone("me", next + Duration::from_secs(10)), Step::Take);
    }

    #[test]
    fn the_time_counts_from_the_last_sign_of_life_and_no_wall_clock_is_read() {
        let mut seen = None;
        let first = Seen::follow(&mut seen, record(Some("other"), "1970-01-01T00:00:00Z")).at;
        // A label was set: no sign of life.
        let labelled =
            Record { resource_version: "2".into(), ..record(Some("other"), "1970-01-01T00:00:00Z") };
        assert_eq!(Seen::follow(&mut seen, labelled).at, first);
        assert!(Seen::follow(&mut seen, record(Some("other"), "2999-01-01T00:00:00Z")).at > first);
        assert_eq!(
            seen.unwrap().step("me", first + Duration::from_secs(5)),
            Step::Wait,
            "a time in the future counts like any other"
        );
    }
}
