//! Kills at system calls: a few of each verb and topology.

use manifold_e2e::storm::kills;

use crate::{THREADS, manifold, rounds, seed};

// Shows part of: T-3
#[test]
fn killed_at_any_system_call_nothing_is_left() {
    let figures = kills::sweep(&manifold(), seed(), THREADS, rounds(20));
    figures.must_be_clean(20);
}

// Shows part of: T-3
#[test]
fn killed_twice_nothing_is_left() {
    let figures = kills::double_faults(&manifold(), seed(), THREADS, rounds(10));
    figures.must_be_clean(10);
}
