//! Runtimes that are not Kubernetes': they take our executable for the plugins of their own lists.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod nerdctl;
mod podman;

use std::path::PathBuf;

use manifold_e2e::executable;

/// The executable under test: the one that the caller names, else a debug build.
fn manifold() -> PathBuf {
    let named = std::env::var_os("MANIFOLD_EXECUTABLE").filter(|path| !path.is_empty());
    named.map_or_else(|| executable::executable("manifold").unwrap(), PathBuf::from)
}
