//! What the demo occupies on the machine: a few named network namespaces and one folder under `/run`.
//!
//! All of it carries the demo's name, so that an aborted run is found and removed by the next.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use manifold_e2e::netns;

#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
}

impl Place {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of a network namespace: `manifold-demo-pod-a`.
    pub(super) fn netns(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    pub(super) fn folder(&self) -> PathBuf {
        Path::new("/run").join(&self.name)
    }

    /// Held by one run at a time; the kernel lets go of it with the process.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let path = Path::new("/run").join(format!("{}.lock", self.name));
        let file = File::create(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!("another demo is running; wait until it has ended"),
            Err(TryLockError::Error(e)) => {
                Err(e).with_context(|| format!("cannot lock `{}`", path.display()))
            }
        }
    }

    /// Removes everything of this name. Links, addresses and rules live in the namespaces and go with them.
    pub(super) fn clear(&self) -> Cleared {
        let begin = format!("{}-", self.name);
        let entries = fs::read_dir(netns::FOLDER).into_iter().flatten().flatten();
        let stale: Vec<PathBuf> = entries
            .filter(|e| e.file_name().to_string_lossy().starts_with(&begin))
            .map(|e| e.path())
            .collect();
        stale.iter().for_each(|path| netns::remove(path));
        Cleared { namespaces: stale.len(), folder: fs::remove_dir_all(self.folder()).is_ok() }
    }
}

/// What was found and removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cleared {
    pub(super) namespaces: usize,
    pub(super) folder: bool,
}

impl Cleared {
    pub(super) fn anything(self) -> bool {
        self.namespaces > 0 || self.folder
    }
}
