//! How soon something is done again that somebody undoes, or that did not succeed.
//!
//! The first time at once; then after 1, 2, 4 … seconds, up to a limit. Undisturbed for long, it is the first time again.

use std::time::{Duration, Instant};

/// Against a rival, or where only a person can mend it.
pub const SLOW: Duration = Duration::from_secs(300);
/// Against a rival while whose way prevails pods start without their networks: a file more or less each half minute is cheap.
pub const RIVAL: Duration = Duration::from_secs(30);
/// Where time mends it: the API server is away or busy.
pub const SOON: Duration = Duration::from_secs(5);

const QUIET: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Pace {
    times: u32,
    last: Option<Instant>,
}

impl Pace {
    /// How long to wait from now.
    pub fn delay(&self, now: Instant, limit: Duration) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let since = now.saturating_duration_since(last);
        if since > QUIET {
            return Duration::ZERO;
        }
        self.spacing().min(limit).saturating_sub(since)
    }

    /// It was done, or tried.
    pub fn done(&mut self, now: Instant) {
        let quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) > QUIET);
        self.times = if quiet { 1 } else { self.times.saturating_add(1) };
        self.last = Some(now);
    }

    fn spacing(&self) -> Duration {
        Duration::from_secs(1_u64 << self.times.saturating_sub(1).min(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_a_rival_the_rhythm_slows_and_after_quiet_it_is_quick_again() {
        let start = Instant::now();
        let (mut pace, mut now, mut delays) = (Pace::default(), start, Vec::new());
        for _ in 0..12 {
            let delay = pace.delay(now, SLOW);
            delays.push(delay.as_secs());
            now += delay;
            pace.done(now);
        }
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        now += Duration::from_secs(601);
        assert_eq!(pace.delay(now, SLOW), Duration::ZERO);
        pace.done(now);
        assert_eq!(pace.delay(now, SLOW), Duration::from_secs(1));
    }

    #[test]
    fn what_time_mends_is_tried_every_few_seconds() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..40 {
            pace.done(now);
        }
        assert_eq!(pace.delay(now, SOON), SOON);
        assert_eq!(pace.delay(now + Duration::from_secs(4), SOON), Duration::from_secs(1));
    }
}
