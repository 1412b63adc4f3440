//! What one input may cost: time of the processor, and memory.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;

/// What reading one input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of the processor, so that a busy machine makes no difference.
    pub cpu: Duration,
    /// At the peak, above what was there before. Counted where the executable has [`PeakAlloc`] as its allocator.
    pub bytes: usize,
}

impl Bounds {
    /// What the requirements allow.
    pub const REQUIRED: Self = Self { cpu: Duration::from_millis(100), bytes: 64 << 20 };
    /// The same for code that counts every branch for libFuzzer, on several passes over one input.
    pub const INSTRUMENTED: Self = Self { cpu: Duration::from_millis(500), ..Self::REQUIRED };
    /// The same for code that the compiler did not optimise.
    pub const UNOPTIMISED: Self = Self { cpu: Duration::from_secs(2), ..Self::REQUIRED };
}

/// What reading one input did cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of the processor.
    pub cpu: Duration,
    /// At the peak, above what was there before.
    pub bytes: usize,
}

impl Cost {
    pub(crate) fn assert_within(&self, bounds: &Bounds) {
        assert!(
            self.cpu <= bounds.cpu,
            "the input took {:?} of the processor, of {:?}",
            self.cpu,
            bounds.cpu
        );
        assert!(self.bytes <= bounds.bytes, "the input took {} bytes, of {}", self.bytes, bounds.bytes);
    }
}

/// Runs something and tells what it cost.
pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> (T, Cost) {
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let began = cpu();
    let out = run();
    let cpu = cpu().saturating_sub(began);
    (out, Cost { cpu, bytes: PeakAlloc.peak_usage().saturating_sub(before) })
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
