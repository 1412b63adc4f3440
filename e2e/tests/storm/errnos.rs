//! System calls that are refused: a few of each verb and topology.

use manifold_e2e::storm::errnos;

use crate::{THREADS, manifold, rounds, seed};

// Shows part of: T-4
#[test]
fn whatever_the_system_refuses_the_answer_is_right_and_nothing_is_forgotten() {
    let figures = errnos::sweep(&manifold(), seed(), THREADS, rounds(24));
    figures.must_be_clean(24);
}

/// Returning from a pod's namespace was refused once, and the call ended by SIGABRT, without an answer and without an undo.
// Shows part of: T-4
#[test]
fn a_namespace_that_cannot_be_entered_or_left_for_a_moment_ends_no_call_without_a_word() {
    errnos::namespaces(&manifold(), rounds(24)).must_be_clean(24);
}
