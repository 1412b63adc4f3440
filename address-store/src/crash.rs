//! Named points at which a test may end the process. Compiled to nothing in a release.
//!
//! In the order of an ADD that claims: `intended`, `claim-sent` (before the request), `claim-answered`, `held`, `intent-gone`,
//! `lease-made`. Of a release: `closing`, `given-up`, `dropped`. Of a confirmation: `confirmed`, `adopted`.

#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &str) {
    if std::env::var("MANIFOLD_CRASH_AT").is_ok_and(|at| at == name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(not(feature = "crash-points"))]
pub(crate) fn point(_name: &str) {}
