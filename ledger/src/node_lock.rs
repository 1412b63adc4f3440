//! Who may work on the node: ADD and DEL share it, GC has it alone.
//!
//! GC waits for those that run and holds new ones (F-RUN-5).

use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Instant;

use super::flock::{How, Waited, lock_until};
use super::lock::fixed_file;
use super::{Ledger, LockError};

/// Not container ids: they begin with a dot.
const NODE: &str = ".node";
const TURN: &str = ".turn";

/// The right to work on this node: shared, or alone.
#[derive(Debug)]
pub struct NodeLock(File);

impl NodeLock {
    pub fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for NodeLock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Ledger {
    /// For ADD and DEL.
    pub fn share_node(&self, deadline: Instant) -> Result<NodeLock, LockError> {
        self.lock_node(How::Shared, deadline)
    }

    /// For GC.
    pub fn own_node(&self, deadline: Instant) -> Result<NodeLock, LockError> {
        self.lock_node(How::Exclusive, deadline)
    }

    /// Everybody passes the turnstile one by one, and GC stands in it until the node is its own: otherwise a stream of
    /// ADDs, always some of them running, would keep it out for ever.
    fn lock_node(&self, how: How, deadline: Instant) -> Result<NodeLock, LockError> {
        let begun = Instant::now();
        let busy = || LockError::Busy { what: "the node".to_owned(), seconds: begun.elapsed().as_secs() };
        let folder = self.locks()?;
        let wait = |name: &str, how: How| -> Result<File, LockError> {
            let file = fixed_file(&folder, name)?;
            match lock_until(file, how, deadline).map_err(|e| folder.error("lock", name, e))? {
                Waited::Locked(file) => Ok(file),
                Waited::Busy => Err(busy()),
            }
        };
        let turn = wait(TURN, How::Exclusive)?;
        let node = wait(NODE, how)?;
        drop(turn);
        Ok(NodeLock(node))
    }
}
