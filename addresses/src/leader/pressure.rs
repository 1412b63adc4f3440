//! Whether a pool is full or nearly so. What was told stays until it is clearly over, so that nobody is told twice.

use super::Counts;

/// In percent of all addresses.
const NEARLY_FULL: u128 = 90;
/// A pool that was full, or nearly, is not so any more when so many percent less are used.
const LEAST_DROP: u128 = 5;

/// How full a pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Every address is used.
    pub exhausted: bool,
    /// Nine in ten are.
    pub nearly_full: bool,
}

/// How full a pool is now, by how full it was told to be.
pub fn pressure(counts: &Counts, before: Pressure) -> Pressure {
    let above = |percent: u128, was: bool| {
        let limit = if was { percent - LEAST_DROP } else { percent };
        // What was told is over only below the lower mark.
        let used = counts.used.saturating_mul(100);
        let limit = counts.total.saturating_mul(limit);
        counts.total != 0 && if was { used > limit } else { used >= limit }
    };
    Pressure { exhausted: above(100, before.exhausted), nearly_full: above(NEARLY_FULL, before.nearly_full) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(used: u128, total: u128, exhausted: bool, nearly_full: bool) -> (bool, bool) {
        let counts = Counts { used, total, ..Counts::default() };
        let now = pressure(&counts, Pressure { exhausted, nearly_full });
        (now.exhausted, now.nearly_full)
    }

    // Shows part of: IPAM-33
    #[test]
    fn what_was_told_stays_until_five_percent_are_free_again() {
        assert_eq!(of(89, 100, false, false), (false, false));
        assert_eq!(of(90, 100, false, false), (false, true));
        assert_eq!(of(86, 100, false, true), (false, true));
        assert_eq!(of(85, 100, false, true), (false, false));
        assert_eq!(of(100, 100, false, true), (true, true));
        assert_eq!(of(96, 100, true, true), (true, true));
        assert_eq!(of(95, 100, true, true), (false, true));
        assert_eq!(of(13, 13, false, false), (true, true));
        assert_eq!(of(12, 13, true, true), (false, true));
        assert_eq!(of(0, 0, false, false), (false, false), "nothing to give is told otherwise");
    }
}
