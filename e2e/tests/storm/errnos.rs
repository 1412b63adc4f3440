//! System calls that are refused: a few of each verb and topology.

use manifold_e2e::storm::errnos;

use crate::{THREADS, manifold, rounds, seed};

// Shows part of: T-4
#[test]
fn whatever_the_system_refuses_the_answer_is_right_and_nothing_is_forgotten() {
    let figures = errnos::sweep(&manifold(), seed(), THREADS, rounds(200));
    figures.must_be_clean(200);
}
