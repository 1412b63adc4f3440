//! The lock of a network's folder, shared with every other host-local on the node (PLG-HL-7, CNI-RUN-7).
//!
//! The kernel frees it when its holder ends, however that happens.

use std::time::Instant;

use super::folder::Folder;
use crate::file_lock;
pub(super) use crate::file_lock::{Lock, LockError};

/// Takes the lock, waiting no longer than `deadline`.
pub(super) fn take(folder: &Folder, deadline: Instant) -> Result<Lock, LockError> {
    file_lock::take(folder.open_lock()?, deadline)
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
        assert!(before.elapsed() < Duration::from_secs(60));
        drop(held);
        // The thread that waited in vain gets the lock now, and must give it up.
        drop(take(&folder, Instant::now() + Duration::from_secs(90)).unwrap());
    }

    #[test]
    fn the_lock_is_handed_over_as_soon_as_it_is_free() {
        let (_dir, folder) = folder();
        let held = take(&folder, Instant::now()).unwrap();
        let waiting = folder.clone();
        let thread =
            std::thread::spawn(move || take(&waiting, Instant::now() + Duration::from_secs(90)).is_ok());
        drop(held);
        assert!(thread.join().unwrap());
    }
}
