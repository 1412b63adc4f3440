//! How many ADDs and DELs run at once on this node, so that a boot storm does not eat its memory (F-RUN-4).
//!
//! Sixteen slots for ADD and eight for DEL, apart, so that hanging ADDs cannot hold up DELs. A slot is a locked file:
//! the kernel frees the slots of the dead. Whoever finds none free stands in a queue, which is one more lock, and only
//! the first of the queue watches the slots; the others sleep in the kernel until it is their turn. The watch tells of
//! every closed slot file, so a free slot is taken at once. The gate comes before TLS and everything else that
//! costs memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::flock::{How, Waited, lock_until, try_lock};

/// Which of the two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Add,
    Del,
}

impl Gate {
    pub const fn slots(self) -> usize {
        match self {
            Self::Add => 16,
            Self::Del => 8,
        }
    }

    /// How long a caller should be ready to wait.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Del => "del",
        }
    }
}

/// Leave to go on; dropping it frees the slot.
#[derive(Debug)]
pub struct Pass(
    #[expect(dead_code, reason = "held, not read: the slot is free when it closes")] Option<File>,
);

/// No slot became free in time.
#[derive(Debug, thiserror::Error)]
#[error("{slots} calls of {verb} run on this node already, and none ended within {seconds} s")]
pub struct Crowded {
    slots: usize,
    verb: &'static str,
    seconds: u64,
}

impl From<Crowded> for CniError {
    fn from(e: Crowded) -> Self {
        Self::new(code::TRY_AGAIN, e.to_string())
            .details("nothing was touched; fix: none needed, the runtime tries again; if it stays so, look for a delegate that hangs")
    }
}

impl Gate {
    /// Waits for a slot until `deadline`. Where the disk allows no lock files there is no gate: an ADD fails at its
    /// ledger write then, and a DEL must not be held up.
    pub fn enter(self, state_dir: &Path, deadline: Instant) -> Result<Pass, Crowded> {
        match self.slot(&state_dir.join(".gate"), deadline) {
            Ok(pass) => pass,
            Err(error) => {
                tracing::warn!(%error, "the gate of {} cannot be used and is passed", self.name());
                Ok(Pass(None))
            }
        }
    }

    fn slot(self, folder: &Path, deadline: Instant) -> io::Result<Result<Pass, Crowded>> {
        let begun = Instant::now();
        let crowded =
            || Crowded { slots: self.slots(), verb: self.name(), seconds: begun.elapsed().as_secs() };
        let queue = lock_file(folder, &format!("{}-queue", self.name()))?;
        let queue = match lock_until(queue, How::Exclusive, deadline)? {
            Waited::Locked(queue) => queue,
            Waited::Busy => return Ok(Err(crowded())),
        };
        let found = self.first_free(folder, deadline)?;
        drop(queue);
        Ok(found.map(|slot| Pass(Some(slot))).ok_or_else(crowded))
    }

    /// Only the first of the queue comes here. Slot files it has opened stay open while it watches, because closing
    /// one would wake it.
    fn first_free(self, folder: &Path, deadline: Instant) -> io::Result<Option<File>> {
        let mut busy = Vec::with_capacity(self.slots());
        for n in 0..self.slots() {
            match try_lock(lock_file(folder, &format!("{}-{n}", self.name()))?, How::Exclusive)? {
                Ok(slot) => return Ok(Some(slot)),
                Err(file) => busy.push(file),
            }
        }
        let watch = Watch::on(folder);
        loop {
            // The watch stands before this look, so no release falls between the two.
            for _ in 0..busy.len() {
                let Some(file) = busy.pop() else { break };
                match try_lock(file, How::Exclusive)? {
                    Ok(slot) => return Ok(Some(slot)),
                    Err(file) => busy.insert(0, file),
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            watch.wait(left);
        }
    }
}

/// Tells when a slot file was closed.
struct Watch(Option<Inotify>);

impl Watch {
    /// The kernel tells of the closing a moment before it drops the lock of a process that was killed, so a look after
    /// the news can come too early; and the node may have no watch left to give. This bounds both.
    const LOOK_AGAIN: Duration = Duration::from_millis(25);

    fn on(folder: &Path) -> Self {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).and_then(|watch| {
            watch.add_watch(folder, AddWatchFlags::IN_CLOSE_NOWRITE | AddWatchFlags::IN_CLOSE_WRITE)?;
            Ok(watch)
        });
        Self(watch.ok())
    }

    fn wait(&self, left: Duration) {
        let limit = left.min(Self::LOOK_AGAIN);
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        let mut fds: Vec<PollFd<'_>> =
            self.0.iter().map(|w| PollFd::new(w.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, timeout);
        if let Some(watch) = &self.0 {
            let _ = watch.read_events();
        }
    }
}

/// Opened for reading only, as a lock needs no more: so a full or read-only disk does no harm once the files are there.
fn lock_file(folder: &Path, name: &str) -> io::Result<File> {
    let path: PathBuf = folder.join(name);
    let flags = OFlag::O_NOFOLLOW.bits();
    match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    crate::make_folder(folder).map_err(io::Error::other)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    // Shows part of: F-RUN-4
    #[test]
    fn who_finds_no_slot_in_time_is_told_to_try_again() {
        let dir = tempfile::tempdir().unwrap();
        let held: Vec<Pass> = (0..16).map(|_| Gate::Add.enter(dir.path(), soon(2000)).unwrap()).collect();
        let refused = Gate::Add.enter(dir.path(), soon(30)).unwrap_err();
        assert_eq!(CniError::from(refused).code, code::TRY_AGAIN);
        drop(held);
        assert!(Gate::Add.enter(dir.path(), soon(2000)).is_ok());
    }

    // Proves: S-3
    #[test]
    fn a_gate_that_comes_first_makes_the_folders_for_root_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("cni/manifold");
        drop(Gate::Add.enter(&state, soon(2000)).unwrap());
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(".gate"))), (0o700, 0o700));
        assert_eq!(mode(&state.join(".gate/add-0")), 0o600);
        assert_ne!(mode(&dir.path().join("cni")), 0o700, "what is above is not ours to close");
    }

    // Shows part of: F-RUN-4
    #[test]
    fn full_slots_of_add_do_not_hold_up_del() {
        let dir = tempfile::tempdir().unwrap();
        let _held: Vec<Pass> = (0..16).map(|_| Gate::Add.enter(dir.path(), soon(2000)).unwrap()).collect();
        let dels: Vec<_> = (0..8).map(|_| Gate::Del.enter(dir.path(), soon(2000)).unwrap()).collect();
        assert!(Gate::Del.enter(dir.path(), soon(20)).is_err());
        drop(dels);
    }

    #[test]
    fn a_freed_slot_is_taken_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut held: Vec<Pass> = (0..16).map(|_| Gate::Add.enter(dir.path(), soon(2000)).unwrap()).collect();
        let path = dir.path().to_owned();
        let waiter = std::thread::spawn(move || {
            let pass = Gate::Add.enter(&path, soon(20_000));
            (pass.is_ok(), Instant::now())
        });
        std::thread::sleep(Duration::from_millis(100));
        let freed = Instant::now();
        held.remove(7);
        let (entered, at) = waiter.join().unwrap();
        assert!(entered && at.duration_since(freed) < Duration::from_secs(10));
    }

    #[test]
    fn without_a_folder_to_lock_in_there_is_no_gate() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for _ in 0..20 {
            assert!(Gate::Del.enter(&dir.path().join("file"), soon(2000)).is_ok());
        }
    }
}
