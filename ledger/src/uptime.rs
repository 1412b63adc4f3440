//! Time since boot, for bookkeeping that must not follow a clock which someone sets (F-NOD-7).

use nix::time::{ClockId, clock_gettime};

/// Whole seconds since boot, sleep included. Values of different boots are not comparable; one from another boot that
/// lies in the future reads as "just now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uptime(pub u64);

impl Uptime {
    pub fn now() -> Self {
        let t =
            clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every kernel that runs containers has this clock");
        Self(u64::try_from(t.tv_sec()).unwrap_or(0))
    }

    /// Seconds from `earlier` until now; zero when `earlier` is of a later time, thus of another boot.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
