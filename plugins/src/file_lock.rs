//! A lock on a file, waited for no longer than the caller has time. The kernel frees it when its holder ends, however
//! that happens.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::sync::mpsc;
use std::time::Instant;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process held it until the deadline")]
    Busy,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockError {
    /// The system's error number, where it refused.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Busy => None,
            Self::Io(error) => error.raw_os_error(),
        }
    }
}

/// Takes the lock, waiting no longer than `deadline`.
pub(crate) fn take(file: File, deadline: Instant) -> Result<Lock, LockError> {
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
    std::thread::Builder::new().name("file-lock".into()).spawn(waiter)?;
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
