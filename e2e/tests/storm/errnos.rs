//! Entries of network namespaces that are refused; other system calls are in `cargo xtask storm`.

use manifold_e2e::storm::errnos;

use crate::{manifold, rounds};

/// Returning from a pod's namespace was refused once, and the call ended by SIGABRT, without an answer and without an undo.
// Shows part of: T-4
#[test]
fn a_namespace_that_cannot_be_entered_or_left_for_a_moment_ends_no_call_without_a_word() {
    errnos::namespaces(&manifold(), rounds(24)).must_be_clean(24);
}
