//! Who may work on a sandbox.
//!
//! The sandbox lock is held by ADD, DEL and CHECK of one container id. Executed delegates inherit its descriptor, so
//! after a killed shim it is free only when the last of them has ended (F-RUN-1); a shim that ends in order unlocks it
//! for all of them. The lock file lives as long as the entry, so that DEL on a full disk finds it there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use manifold_cni::ContainerId;
use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use super::flock::{How, Waited, lock_until};
use super::folder::{Folder, Lies};
use super::{Ledger, LedgerError, LockError};

const FOLDER: &str = ".locks";

/// The cancel mark is this bit of the lock file's mode: setting it needs no space, and it cannot outlive the file.
const CANCEL: Mode = Mode::S_IXUSR;
const PLAIN: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The right to work on one sandbox.
#[derive(Debug)]
pub struct SandboxLock {
    file: File,
    ledger: Ledger,
    id: ContainerId,
}

impl Ledger {
    /// For ADD, CHECK and sweeps: waits until `deadline`.
    pub fn lock(&self, id: &ContainerId, deadline: Instant) -> Result<SandboxLock, LockError> {
        self.lock_sandbox(id, deadline, false)
    }

    /// For DEL: tells an ADD that holds the lock to undo itself, then waits. The mark stays when this wait ends
    /// without the lock, so the runtime's next DEL finds the work done (F-RUN-3).
    pub fn lock_and_cancel(&self, id: &ContainerId, deadline: Instant) -> Result<SandboxLock, LockError> {
        self.lock_sandbox(id, deadline, true)
    }

    fn lock_sandbox(
        &self,
        id: &ContainerId,
        deadline: Instant,
        cancel: bool,
    ) -> Result<SandboxLock, LockError> {
        let begun = Instant::now();
        let busy = || LockError::Busy { what: format!("sandbox `{id}`"), seconds: begun.elapsed().as_secs() };
        let folder = self.locks()?;
        loop {
            let file = self.lock_file(&folder, id)?;
            if let Some(lock) = self.claim(&folder, id, file.try_clone(), Instant::now())? {
                return Ok(lock);
            }
            if cancel {
                // Best effort: without the mark DEL only waits longer.
                let _ = fchmod(&file, PLAIN | CANCEL);
            }
            if let Some(lock) = self.claim(&folder, id, Ok(file), deadline)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(busy());
            }
        }
    }

    /// The lock on `file`; `None` when it is busy until `deadline`, or when its holder removed the file meanwhile: then
    /// another file has taken its place.
    fn claim(
        &self,
        folder: &Folder,
        id: &ContainerId,
        file: io::Result<File>,
        deadline: Instant,
    ) -> Result<Option<SandboxLock>, LedgerError> {
        let fail = |e| folder.error("lock", id.as_str(), e);
        let file = match lock_until(file.map_err(fail)?, How::Exclusive, deadline).map_err(fail)? {
            Waited::Locked(file) => file,
            Waited::Busy => return Ok(None),
        };
        let meta = file.metadata().map_err(fail)?;
        if meta.nlink() == 0 {
            return Ok(None);
        }
        let lock = SandboxLock { file, ledger: self.clone(), id: id.clone() };
        lock.clear_cancel();
        Ok(Some(lock))
    }

    /// The file to lock: made where it is missing. On a disk that takes no new file, the entry itself; after any other error
    /// somebody may hold the lock's own file, and two would work on one sandbox.
    fn lock_file(&self, folder: &Folder, id: &ContainerId) -> Result<File, LedgerError> {
        let name = id.as_str();
        for _ in 0..8 {
            let refused = match folder.look(name) {
                Ok(Lies::Ours(file)) => return Ok(file),
                Ok(Lies::Alien(what)) => {
                    return Err(folder.error("lock", name, io::Error::other(format!("it is {what}"))));
                }
                Ok(Lies::Nothing) => match folder.create_new(name) {
                    Ok(file) => return Ok(file),
                    Err(Errno::EEXIST) => continue,
                    Err(e) => e,
                },
                Err(e) => e,
            };
            let takes_no_file = matches!(refused, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS);
            return match self.folder.look(name) {
                Ok(Lies::Ours(entry)) if takes_no_file => Ok(entry),
                _ => Err(folder.error("create the lock", name, refused)),
            };
        }
        Err(folder.error("create the lock", name, Errno::EAGAIN))
    }

    pub(super) fn locks(&self) -> Result<Folder, LedgerError> {
        match self.folder.sub(FOLDER, true) {
            Ok(Some(folder)) => Ok(folder),
            Ok(None) => Err(self.folder.error("open the folder", FOLDER, Errno::ENOENT)),
            Err(e) => Err(e),
        }
    }

    /// Removes lock files of sandboxes that have no entry and that nobody holds: what killed shims left behind.
    pub fn remove_idle_locks(&self) {
        let Ok(folder) = self.locks() else { return };
        for name in folder.names().unwrap_or_default() {
            let Some(id) = name.to_str().and_then(|n| n.parse::<ContainerId>().ok()) else { continue };
            if !self.folder.exists(id.as_str()) {
                // Dropping it removes the file.
                let _ = self.lock(&id, Instant::now());
            }
        }
    }
}

impl SandboxLock {
    /// Whether a DEL is waiting for this ADD to undo itself. To be asked before each delegate and before the answer.
    pub fn is_cancelled(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.mode() & CANCEL.bits() != 0)
    }

    pub fn container(&self) -> &ContainerId {
        &self.id
    }

    /// For executed delegates to inherit. It is close-on-exec until a delegate's start clears that.
    pub fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn clear_cancel(&self) {
        if self.is_cancelled() {
            let _ = fchmod(&self.file, PLAIN);
        }
    }
}

impl AsFd for SandboxLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SandboxLock {
    /// Unlocks for every process that inherited the descriptor: they have ended, or live on as daemons of their own.
    fn drop(&mut self) {
        // The mark was for this holder.
        self.clear_cancel();
        if !self.ledger.folder.exists(self.id.as_str())
            && let Ok(folder) = self.ledger.locks()
            && is_same(&folder, self.id.as_str(), &self.file)
        {
            let _ = folder.unlink(self.id.as_str());
        }
        let _ = self.file.unlock();
    }
}

fn is_same(folder: &Folder, name: &str, file: &File) -> bool {
    match (folder.stat(name), file.metadata()) {
        (Ok(there), Ok(here)) => there.st_ino == here.ino() && there.st_dev == here.dev(),
        _ => false,
    }
}

/// A lock file that is never removed.
pub(super) fn fixed_file(folder: &Folder, name: &str) -> Result<File, LedgerError> {
    for _ in 0..2 {
        match folder.look(name) {
            Ok(Lies::Ours(file)) => return Ok(file),
            Ok(Lies::Nothing) => {}
            Ok(Lies::Alien(what)) => {
                return Err(folder.error("lock", name, io::Error::other(format!("it is {what}"))));
            }
            Err(e) => return Err(folder.error("open the lock", name, e)),
        }
        match folder.create_new(name) {
            Ok(file) => return Ok(file),
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(folder.error("create the lock", name, e)),
        }
    }
    Err(folder.error("open the lock", name, Errno::EAGAIN))
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
