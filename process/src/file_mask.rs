//! The file mode mask: what we make is for root alone (S-3), and what an executed plugin makes may be meant for a pod.

use std::sync::OnceLock;

use nix::sys::stat::{Mode, umask};

static OF_CALLER: OnceLock<Mode> = OnceLock::new();

/// From now on the files of this process are for its user alone; what is executed gets the mask that was there before.
/// For `main`, before anything is made.
pub fn keep_private() {
    let before = umask(Mode::from_bits_truncate(0o077));
    // What a second call finds is our own.
    let _ = OF_CALLER.set(before);
}

/// The mask of what is executed; `None` where it is ours.
pub(crate) fn of_caller() -> Option<Mode> {
    OF_CALLER.get().copied()
}
