//! The first ADD after a boot undoes what the boot left behind: every entry of another boot id (F-NOD-1).
//!
//! Here is only who sweeps, what, and how far it got; the undo is the verbs'. A sweep that is killed goes on the next
//! time, because entries leave one by one and the mark "swept" comes last.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use manifold_cni::ContainerId;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::flock::{How, Waited, lock_until};
use super::folder::{Lies, write_at};
use super::lock::fixed_file;
use super::{Ledger, LedgerError};

/// Which boot of the machine it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BootId(Box<str>);

#[derive(Debug, thiserror::Error)]
#[error("the boot id `{}` cannot be used: it is not up to 64 letters, digits and `-`", manifold_cni::name::printable(.0))]
pub struct BadBootId(String);

impl BootId {
    pub const PATH: &str = "/proc/sys/kernel/random/boot_id";

    /// Also part of file names, so it is checked.
    pub fn new(raw: &str) -> Result<Self, BadBootId> {
        let fits = !raw.is_empty() && raw.len() <= 64;
        if fits && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            Ok(Self(raw.into()))
        } else {
            Err(BadBootId(raw.to_owned()))
        }
    }

    /// Reads it from `path`, normally [`BootId::PATH`].
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let raw = std::fs::read_to_string(path)?;
        Self::new(raw.trim()).map_err(std::io::Error::other)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BootId {
    type Error = BadBootId;
    fn try_from(raw: String) -> Result<Self, BadBootId> {
        Self::new(&raw)
    }
}

const SWEPT: &str = ".boot";
const SWEEPING: &str = ".sweep";

/// What the caller of an ADD finds.
#[derive(Debug)]
pub enum BootSweep {
    /// This boot is swept: go on.
    Swept,
    /// It falls to this call to sweep these, oldest work and all.
    Yours(Sweeper),
    /// Another call is at it and did not end in time: it stands at `done` of `all`.
    Sweeping { done: usize, all: usize },
}

/// The right to sweep, and its progress for those who wait.
#[derive(Debug)]
pub struct Sweeper {
    pub stale: Vec<ContainerId>,
    progress: File,
    ledger: Ledger,
    boot: BootId,
}

impl Ledger {
    /// One small read where the boot is swept already; else waits until `deadline` for whoever sweeps.
    pub fn boot_sweep(&self, boot: &BootId, deadline: Instant) -> Result<BootSweep, LedgerError> {
        if self.is_swept(boot) {
            return Ok(BootSweep::Swept);
        }
        let file = fixed_file(&self.folder, SWEEPING)?;
        let reader = file.try_clone().map_err(|e| self.folder.error("read", SWEEPING, e))?;
        match lock_until(file, How::Exclusive, deadline)
            .map_err(|e| self.folder.error("lock", SWEEPING, e))?
        {
            Waited::Busy => {
                let (done, all) = read_progress(&reader);
                Ok(BootSweep::Sweeping { done, all })
            }
            Waited::Locked(_) if self.is_swept(boot) => Ok(BootSweep::Swept),
            Waited::Locked(progress) => {
                self.remove_unfinished_writes();
                let stale = self.stale(boot)?;
                let sweeper = Sweeper { stale, progress, ledger: self.clone(), boot: boot.clone() };
                sweeper.progress(0);
                Ok(BootSweep::Yours(sweeper))
            }
        }
    }

    /// Entries of another boot. What cannot be read is set aside on the way and reported.
    fn stale(&self, boot: &BootId) -> Result<Vec<ContainerId>, LedgerError> {
        let entries = self.entries()?;
        Ok(entries.into_iter().filter(|id| matches!(self.read(id), Ok(Some(e)) if e.boot != *boot)).collect())
    }

    fn is_swept(&self, boot: &BootId) -> bool {
        let Ok(Lies::Ours(file)) = self.folder.look(SWEPT) else { return false };
        let mut text = String::new();
        file.take(100).read_to_string(&mut text).is_ok() && text.trim_end() == boot.as_str()
    }
}

impl Sweeper {
    /// Tells those who wait.
    pub fn progress(&self, done: usize) {
        let line = format!("{:08} {:08}\n", done, self.stale.len());
        let _ = write_at(&self.progress, SWEEPING, line.as_bytes(), 0);
    }

    /// The boot is swept: entries whose undo failed are with the idle sweep from now on.
    pub fn done(self) -> Result<(), LedgerError> {
        let folder = &self.ledger.folder;
        let temporary = format!(".new-swept-{}", std::process::id());
        let fail = |e: std::io::Error| folder.error("write", SWEPT, e);
        match folder.unlink(&temporary) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(folder.error("remove", &temporary, e)),
        }
        let file = folder.create_new(&temporary).map_err(|e| fail(e.into()))?;
        write_at(&file, &temporary, self.boot.as_str().as_bytes(), 0).map_err(fail)?;
        folder.rename(&temporary, SWEPT).map_err(|e| fail(e.into()))
    }
}

fn read_progress(file: &File) -> (usize, usize) {
    use std::os::unix::fs::FileExt as _;
    let mut line = [0; 17];
    if file.read_exact_at(&mut line, 0).is_err() {
        return (0, 0);
    }
    let text = std::str::from_utf8(&line).unwrap_or_default();
    let mut numbers = text.split(' ').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample;

    fn boot(n: u8) -> BootId {
        BootId::new(&format!("boot-{n}")).unwrap()
    }

    fn ledger_with(entries: &[(&str, u8)]) -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        for (id, n) in entries {
            let mut entry = sample::entry(1);
            entry.container = id.parse().unwrap();
            entry.boot = boot(*n);
            ledger.write(&entry).unwrap();
        }
        (dir, ledger)
    }

    // Proves: F-NOD-1
    #[test]
    fn the_first_call_of_a_boot_sweeps_the_entries_of_other_boots_only() {
        let (_dir, ledger) = ledger_with(&[("old1", 1), ("old2", 2), ("new1", 3)]);
        let BootSweep::Yours(sweeper) = ledger.boot_sweep(&boot(3), Instant::now()).unwrap() else {
            panic!()
        };
        let stale: Vec<&str> = sweeper.stale.iter().map(ContainerId::as_str).collect();
        assert_eq!(stale, ["old1", "old2"]);
        sweeper.done().unwrap();
        assert!(matches!(ledger.boot_sweep(&boot(3), Instant::now()).unwrap(), BootSweep::Swept));
        assert!(matches!(ledger.boot_sweep(&boot(4), Instant::now()).unwrap(), BootSweep::Yours(_)));
    }

    // Proves: F-NOD-1
    #[test]
    fn a_sweep_that_died_half_way_goes_on_with_what_is_left() {
        let (_dir, ledger) = ledger_with(&[("old1", 1), ("old2", 1)]);
        let BootSweep::Yours(sweeper) = ledger.boot_sweep(&boot(2), Instant::now()).unwrap() else {
            panic!()
        };
        ledger.remove(&"old1".parse().unwrap()).unwrap();
        drop(sweeper);
        let BootSweep::Yours(sweeper) = ledger.boot_sweep(&boot(2), Instant::now()).unwrap() else {
            panic!()
        };
        assert_eq!(sweeper.stale.len(), 1);
    }

    // Proves: F-NOD-1
    #[test]
    fn who_waits_too_long_for_the_sweep_hears_how_far_it_is() {
        let (_dir, ledger) = ledger_with(&[("old1", 1), ("old2", 1)]);
        let BootSweep::Yours(sweeper) = ledger.boot_sweep(&boot(2), Instant::now()).unwrap() else {
            panic!()
        };
        sweeper.progress(1);
        let until = Instant::now() + Duration::from_millis(20);
        let waited = ledger.boot_sweep(&boot(2), until).unwrap();
        assert!(matches!(waited, BootSweep::Sweeping { done: 1, all: 2 }), "{waited:?}");
    }

    #[test]
    fn a_boot_id_is_checked_because_it_becomes_part_of_a_file_name() {
        assert!(BootId::read(Path::new(BootId::PATH)).is_ok());
        for bad in ["", "../x", "a b", "a/b", "a\n"] {
            assert!(BootId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_boot_sweep_clears_unfinished_writes() {
        let (dir, ledger) = ledger_with(&[]);
        std::fs::write(dir.path().join(".new-boot-1-77-0"), "half").unwrap();
        let _ = ledger.boot_sweep(&boot(2), Instant::now()).unwrap();
        assert!(!dir.path().join(".new-boot-1-77-0").exists());
    }
}
