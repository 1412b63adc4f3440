//! Named points at which a test may end the executable, to show that DEL cleans up after a death anywhere.
//!
//! Compiled to nothing in a release: only the feature `crash-points` looks at the environment. The points of ADD, in
//! order: `locked`, `planned`, `before-record`, `recorded`, those of crate `manifold-address-store`, `leased`, for each attachment `attaching-N` and `attached-N`, `routed`,
//! `published`, `saved`.

/// Ends this process with SIGKILL when the environment names this point.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    if std::env::var("MANIFOLD_CRASH_AT").is_ok_and(|at| at == name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(not(feature = "crash-points"))]
pub fn point(_name: &str) {}

/// A point inside the walk over the attachments.
#[cfg(feature = "crash-points")]
pub fn numbered(name: &str, number: usize) {
    point(&format!("{name}-{number}"));
}

#[cfg(not(feature = "crash-points"))]
pub fn numbered(_name: &str, _number: usize) {}
