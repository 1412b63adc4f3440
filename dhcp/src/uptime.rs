//! Time since the machine started, by which leases are counted. Nobody sets this clock: one that is put right after
//! the start of the machine must not end a lease, nor keep it from being renewed (F-NOD-7).

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Sleep included, as the server counts it.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every kernel that runs containers has this clock").into()
}
