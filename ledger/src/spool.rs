//! Outcomes: one line per finished ADD or DEL, left on disk so that the shim itself posts no event and no metric.
//!
//! In: what a call did. Out: for the node agent, batches in the order they were written, and how many were dropped
//! because nobody came for them. Bounded: two files of 8 MiB below `.spool`; when the second is full the first is dropped
//! and its lines are counted in the new one's first line.

pub mod outcome;
pub mod reader;
pub mod writer;

pub use outcome::{Line, NetworkOutcome, Outcome, parse};
pub use reader::Batch;

use std::path::{Path, PathBuf};

/// Half of the bound.
pub const FILE_BYTES: u64 = 8 << 20;

/// The spool of one node.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    file_bytes: u64,
}

impl Spool {
    /// Makes and opens nothing yet.
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join(".spool"), file_bytes: FILE_BYTES }
    }

    #[cfg(test)]
    fn with_file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// What is written now.
    fn current(&self) -> PathBuf {
        self.folder.join("outcomes")
    }

    /// What was full.
    fn older(&self) -> PathBuf {
        self.folder.join("outcomes.old")
    }

    /// What the reader has taken and not finished.
    fn taken(&self) -> PathBuf {
        self.folder.join("outcomes.taken")
    }
}

#[cfg(test)]
#[path = "spool/tests.rs"]
mod tests;
