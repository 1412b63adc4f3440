//! The small part of the storms that runs with every change. `cargo xtask storm` runs these for longer, and all others.
//!
//! Runs as root.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod crowds;
mod errnos;

use std::path::PathBuf;
use std::time::Duration;

use manifold_e2e::executable;
use manifold_e2e::storm::figures::Budget;

/// Enough for the slowest machine; the number of rounds is what ends a suite.
const LONG: Duration = Duration::from_secs(600);

fn manifold() -> PathBuf {
    let named = std::env::var_os("MANIFOLD_EXECUTABLE").filter(|path| !path.is_empty());
    named.map_or_else(|| executable::executable("manifold").unwrap(), PathBuf::from)
}

fn rounds(most: u64) -> Budget {
    Budget::new(LONG, most)
}
