//! The small part of the storms that runs with every change. `cargo xtask storm` runs the same suites for longer.
//!
//! Runs as root. `MANIFOLD_STORM_SEED=7` repeats a run.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod crowds;
mod errnos;
mod histories;
mod kills;

use std::path::PathBuf;
use std::time::Duration;

use manifold_e2e::executable;
use manifold_e2e::storm::figures::Budget;

/// Enough for the slowest machine; the number of rounds is what ends a suite.
const LONG: Duration = Duration::from_secs(600);
const THREADS: u64 = 2;

fn manifold() -> PathBuf {
    let named = std::env::var_os("MANIFOLD_EXECUTABLE").filter(|path| !path.is_empty());
    named.map_or_else(|| executable::executable("manifold").unwrap(), PathBuf::from)
}

fn seed() -> u64 {
    let seed = std::env::var("MANIFOLD_STORM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("MANIFOLD_STORM_SEED={seed}");
    seed
}

fn rounds(most: u64) -> Budget {
    Budget::new(LONG, most)
}
