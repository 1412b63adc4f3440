//! Named points at which a test may end the executable, to show that DEL cleans up after a death anywhere.
//!
//! Compiled to nothing in a release: only the feature `crash-points` looks at the environment.

/// The points of ADD, in order. `attach` points carry the number of the attachment: `attached-0`, `attached-1`, …
pub const POINTS: [&str; 9] = [
    "locked",
    "planned",
    "before-record",
    "recorded",
    "attaching",
    "attached",
    "routed",
    "saved",
    "published",
];

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
