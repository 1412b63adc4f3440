//! Why the folder of addresses could not be used: what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use manifold_addresses::file::Damage;
use manifold_cni::{CniError, code};

/// One sentence.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// Such as `write`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the lock for too long.
    #[error("the lock `{}` was not free in time; the runtime tries again", .0.display())]
    Busy(PathBuf),
    /// A newer release wrote it.
    #[error("`{}` cannot be used: {damage}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What it is.
        damage: Damage,
    },
    /// The name and UID of this node are unknown.
    #[error(
        "`{}` does not tell who this node is ({why}); the node agent writes it, so check that it runs on this node",
        path.display()
    )]
    NoIdentity {
        /// Where it should stand.
        path: PathBuf,
        /// Why it does not.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.as_ref().to_owned(), source: source.into() }
    }
}

/// Nothing of it is the configuration's fault: later it may succeed.
impl From<StoreError> for CniError {
    fn from(error: StoreError) -> Self {
        let msg = error.to_string();
        match error {
            StoreError::Io { source, .. } => Self::io(&source, msg),
            _ => Self::new(code::TRY_AGAIN, msg),
        }
    }
}
