//! The lock of a network's folder, shared with every other host-local on the node (PLG-HL-7, CNI-RUN-7).
//!
//! The kernel frees it when its holder ends, however that happens.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::sync::mpsc;
use std::time::Instant;

use super::folder::Folder;

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error("another process held it until the deadline")]
    Busy,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the lock, waiting no longer than `deadline`.
pub(super) fn take(folder: &Folder, deadline: Instant) -> Result<Lock, LockError> {
    let file = folder.open_lock()?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::Error(e)) => Err(e.into()),
        Err(TryLockError::WouldBlock) => wait(file, deadline),
    }
}

/// `flock` knows no deadline, so a thread waits in our place. If it gets the lock after we have left, it finds nobody
/// to hand it to and drops it.
fn wait(file: File, deadline: Instant) -> Result<Lock, LockError> {
    let (send, receive) = mpsc::channel();
    let waiter = move || {
        let locked = block(&file).map(|()| file);
        let _ = send.send(locked);
    };
    std::thread::Builder::new().name("host-local-lock".into()).spawn(waiter)?;
    match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(locked) => Ok(Lock { _file: locked? }),
        Err(_) => Err(LockError::Busy),
    }
}

fn block(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), &"net".parse().unwrap());
        folder.create().unwrap();
        (dir, folder)
    }

    #[test]
    fn the_wait_for_the_lock_ends_at_the_deadline_and_leaves_it_free() {
        let (_dir, folder) = folder();
        let held = take(&folder, Instant::now()).unwrap();
        let before = Instant::now();
        let late = take(&folder, before + Duration::from_millis(50));
        assert!(matches!(late, Err(LockError::Busy)));
        assert!(before.elapsed() < Duration::from_secs(5));
        drop(held);
        // The thread that waited in vain gets the lock now, and must give it up.
        drop(take(&folder, Instant::now() + Duration::from_secs(10)).unwrap());
    }

    #[test]
    fn the_lock_is_handed_over_as_soon_as_it_is_free() {
        let (_dir, folder) = folder();
        let held = take(&folder, Instant::now()).unwrap();
        let waiting = folder.clone();
        let thread =
            std::thread::spawn(move || take(&waiting, Instant::now() + Duration::from_secs(20)).is_ok());
        drop(held);
        assert!(thread.join().unwrap());
    }
}
