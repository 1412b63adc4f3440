//! Where the project lies, and where it keeps what is costly to make again.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace: the folder that holds this crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder of the workspace")
}

/// `MANIFOLD_CACHE`, or `.cache` in the project.
pub fn cache() -> PathBuf {
    env::var_os("MANIFOLD_CACHE")
        .filter(|set| !set.is_empty())
        .map_or_else(|| root().join(".cache"), PathBuf::from)
}
