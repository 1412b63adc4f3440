//! Waiting for a `flock` until a deadline, without looking again and again.
//!
//! The kernel offers waiting without end or not at all. Here a thread of 64 KiB waits without end in our place; when
//! the deadline comes first it is left behind, and gives the lock back at once should it still get it. So a release
//! wakes the waiter immediately, and a hundred waiters cost little processor time.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Shared,
    Exclusive,
}

/// What became of the wait.
#[derive(Debug)]
pub enum Waited {
    /// The lock is held until the file, and every copy of its descriptor, is closed or unlocked.
    Locked(File),
    /// Somebody else holds it. Only for a deadline that has passed.
    Busy,
}

/// The lock if it is free now.
pub fn try_lock(file: File, how: How) -> io::Result<Result<File, File>> {
    let tried = match how {
        How::Shared => file.try_lock_shared(),
        How::Exclusive => file.try_lock(),
    };
    match tried {
        Ok(()) => Ok(Ok(file)),
        Err(TryLockError::WouldBlock) => Ok(Err(file)),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// The lock, waiting for it until `deadline`.
pub fn lock_until(file: File, how: How, deadline: Instant) -> io::Result<Waited> {
    let file = match try_lock(file, how)? {
        Ok(locked) => return Ok(Waited::Locked(locked)),
        Err(file) => file,
    };
    wait_until(file, deadline, || true, move |file| lock_for_ever(file, how))
}

/// Waits in `lock`, which ends only with the lock. `Busy` also when `is_wanted` says that nobody needs it any more; it
/// is asked now and then.
pub(crate) fn wait_until(
    file: File,
    deadline: Instant,
    is_wanted: impl Fn() -> bool,
    lock: impl FnOnce(&File) -> io::Result<()> + Send + 'static,
) -> io::Result<Waited> {
    const ASK_EVERY: Duration = Duration::from_millis(100);
    if Instant::now() >= deadline {
        return Ok(Waited::Busy);
    }
    // No room in the channel: a file that nobody receives comes back to the thread, which closes it.
    let (hand_over, receive) = mpsc::sync_channel(0);
    thread::Builder::new().name("lock-wait".to_owned()).stack_size(64 << 10).spawn(move || {
        let outcome = lock(&file).map(|()| file);
        // The receiver may have given up: then the lock is dropped with the message.
        drop(hand_over.send(outcome));
    })?;
    loop {
        let patience = deadline.saturating_duration_since(Instant::now()).min(ASK_EVERY);
        match receive.recv_timeout(patience.max(Duration::from_millis(1))) {
            Ok(outcome) => return outcome.map(Waited::Locked),
            Err(RecvTimeoutError::Timeout) if is_wanted() && Instant::now() < deadline => {}
            Err(_) => return Ok(Waited::Busy),
        }
    }
}

pub(crate) fn lock_for_ever(file: &File, how: How) -> io::Result<()> {
    loop {
        let locked = match how {
            How::Shared => file.lock_shared(),
            How::Exclusive => file.lock(),
        };
        match locked {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_gives_back_what_it_gets_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        let Waited::Locked(held) = lock_until(open(), How::Exclusive, soon(0)).unwrap() else { panic!() };
        let begun = Instant::now();
        assert!(matches!(lock_until(open(), How::Exclusive, soon(60)).unwrap(), Waited::Busy));
        assert!(begun.elapsed() >= Duration::from_millis(60));
        drop(held);
        // The thread that was left behind gets the lock now and must let go of it.
        assert!(matches!(lock_until(open(), How::Exclusive, soon(60_000)).unwrap(), Waited::Locked(_)));
    }

    #[test]
    fn a_release_wakes_the_waiter_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        let Waited::Locked(held) = lock_until(open(), How::Exclusive, soon(0)).unwrap() else { panic!() };
        let (tell, told) = mpsc::channel();
        let file = open();
        let waiter = thread::spawn(move || {
            tell.send(()).unwrap();
            let got = lock_until(file, How::Exclusive, soon(60_000)).unwrap();
            assert!(matches!(got, Waited::Locked(_)));
            Instant::now()
        });
        told.recv().unwrap();
        thread::sleep(Duration::from_millis(50));
        let released = Instant::now();
        drop(held);
        let woken = waiter.join().unwrap();
        assert!(woken.duration_since(released) < Duration::from_secs(20));
    }
}
