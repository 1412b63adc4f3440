//! Which descriptors a started program inherits: locks that shall be free only when it has ended.
//!
//! They are the thread's and not an argument: between the call that holds the lock and the place that starts `nft` lies
//! a whole plugin, which knows nothing of locks.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

thread_local! {
    static HANDED_ON: RefCell<Vec<Arc<OwnedFd>>> = const { RefCell::new(Vec::new()) };
}

/// Does `work`. Every program that this thread starts meanwhile inherits these descriptors too. A lock among them stays
/// held until the last process that has it ends, so whoever waits for the lock waits for stray programs as well.
pub fn hand_on<T>(descriptors: &[Arc<OwnedFd>], work: impl FnOnce() -> T) -> T {
    let _scope = Scope::enter(descriptors);
    work()
}

/// What the thread hands on just now.
pub(crate) fn now() -> Vec<Arc<OwnedFd>> {
    HANDED_ON.with_borrow(Clone::clone)
}

/// Takes back what it added, also where the work panics.
struct Scope {
    before: usize,
}

impl Scope {
    fn enter(descriptors: &[Arc<OwnedFd>]) -> Self {
        HANDED_ON.with_borrow_mut(|all| {
            let before = all.len();
            all.extend_from_slice(descriptors);
            Self { before }
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        HANDED_ON.with_borrow_mut(|all| all.truncate(self.before));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Job, run};

    /// A lock of its own, handed on while `script` runs; the process that the script leaves behind, and whether the lock is
    /// free with it.
    fn left_behind(script: &str, hands_on: bool) -> (nix::unistd::Pid, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = File::create(&path).unwrap();
        lock.lock().unwrap();
        let lock = Arc::new(OwnedFd::from(lock));
        let own = if hands_on { vec![Arc::clone(&lock)] } else { Vec::new() };
        let deadline = Instant::now() + Duration::from_secs(60);
        let job = Job { stdin: b"", deadline, stdout_most: 1 << 10 };
        let mut command = Command::new("/bin/sh");
        let ended = hand_on(&own, || run(command.args(["-c", script]), &job, |said| said.ends_with(b"\n")));
        drop((own, lock));
        let pid = String::from_utf8(ended.unwrap().stdout.bytes).unwrap().trim().parse().unwrap();
        (nix::unistd::Pid::from_raw(pid), File::open(&path).unwrap().try_lock().is_ok())
    }

    // Shows part of: F-RUN-10
    #[test]
    fn a_lock_is_held_by_what_is_started_in_the_scope_and_by_nothing_else() {
        for hands_on in [true, false] {
            let (pid, is_free) = left_behind("sleep 60 & echo $!", hands_on);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            assert_eq!(is_free, !hands_on);
        }
        assert!(now().is_empty(), "the scope took back what it added");
    }

    #[test]
    fn a_panic_ends_the_scope_too() {
        let lock = Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
        let work = || hand_on(&[lock], || panic!("on purpose"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
        assert!(now().is_empty());
    }
}
