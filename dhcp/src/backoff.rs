//! When a question is asked again (PLG-DHCP-6): four times after about 2 s, then after 4 s, doubled up to a limit, each
//! a second earlier or later so that the pods of one storm do not keep step.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FAST: u32 = 4;
const FAST_DELAY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Backoff {
    tries: u32,
    most: Duration,
}

impl Backoff {
    pub fn new(most: Duration) -> Self {
        Self { tries: 0, most }
    }

    /// How long to listen before the next try.
    pub fn next_wait(&mut self) -> Duration {
        self.tries += 1;
        let base = match self.tries.checked_sub(FAST) {
            None | Some(0) => FAST_DELAY,
            Some(slow) => {
                let doubled = 2_u64.checked_pow(slow + 1).map_or(Duration::MAX, Duration::from_secs);
                doubled.min(self.most)
            }
        };
        let thousandths = random() % 2000;
        (base + Duration::from_millis(thousandths)).saturating_sub(Duration::from_secs(1))
    }
}

/// A number that nobody on the link can guess.
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-DHCP-6
    #[test]
    fn four_fast_tries_then_slower_ones_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_secs(62));
        let waits: Vec<f64> = (0..12).map(|_| backoff.next_wait().as_secs_f64()).collect();
        let expected = [2.0, 2.0, 2.0, 2.0, 4.0, 8.0, 16.0, 32.0, 62.0, 62.0, 62.0, 62.0];
        for (wait, base) in waits.iter().zip(expected) {
            assert!((wait - base).abs() <= 1.0, "{waits:?}");
        }
    }
}
