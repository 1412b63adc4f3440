//! Whether nobody writes a new entry on the node: GC removes what killed writers left only then.

use std::fs::File;
use std::time::Instant;

use super::flock::{How, Waited, lock_until};
use super::lock::fixed_file;
use super::{Ledger, LockError};

/// Not a container id: it begins with a dot.
const NODE: &str = ".node";

/// The right to write new entries, or to be alone.
#[derive(Debug)]
pub struct NodeLock(#[expect(dead_code, reason = "held, not read: the lock ends when it closes")] File);

impl Ledger {
    /// For ADD. Nobody is alone for longer than it takes to remove some files.
    pub fn share_node(&self, deadline: Instant) -> Result<NodeLock, LockError> {
        let begun = Instant::now();
        match self.lock_node(How::Shared, deadline)? {
            Some(node) => Ok(node),
            None => Err(LockError::Busy { what: "the node".to_owned(), seconds: begun.elapsed().as_secs() }),
        }
    }

    /// For GC, which waits for nobody: `None` while an ADD runs.
    pub fn own_node(&self) -> Result<Option<NodeLock>, LockError> {
        self.lock_node(How::Exclusive, Instant::now())
    }

    fn lock_node(&self, how: How, deadline: Instant) -> Result<Option<NodeLock>, LockError> {
        let folder = self.locks()?;
        let file = fixed_file(&folder, NODE)?;
        match lock_until(file, how, deadline).map_err(|e| folder.error("lock", NODE, e))? {
            Waited::Locked(file) => Ok(Some(NodeLock(file))),
            Waited::Busy => Ok(None),
        }
    }
}
