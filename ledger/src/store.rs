//! Entries on disk: the one durable write, reading with nothing believed, removal.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use manifold_cni::ContainerId;
use nix::errno::Errno;

use super::codec::{self, Decoded, Fault, Flaw, MAX_BYTES};
use super::folder::{Folder, Lies, sync_file, write_at};
use super::{Entry, LedgerError, Pen, Unreadable, durable};

/// The ledger of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) folder: Arc<Folder>,
}

/// An entry and the pen to go on writing it.
#[derive(Debug)]
pub struct Opened {
    pub entry: Entry,
    pub pen: Pen,
    /// Damage that leaves the plan whole; to be logged.
    pub flaws: Vec<Flaw>,
}

impl Ledger {
    /// Opens the ledger in the state folder, making the folder anew where it is missing (F-DSK-6).
    pub fn open(state_dir: &Path) -> Result<Self, LedgerError> {
        Folder::create(state_dir).map(|f| Self { folder: Arc::new(f) })
    }

    /// `None` when there is no state folder: nothing was ever recorded here, or all of it was deleted.
    pub fn open_existing(state_dir: &Path) -> Result<Option<Self>, LedgerError> {
        Ok(Folder::existing(state_dir)?.map(|f| Self { folder: Arc::new(f) }))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the entry on disk, durably, in place of any earlier one. The first delegate may run only after this.
    ///
    /// On an error no entry is left, so nothing is to be undone.
    pub fn write(&self, entry: &Entry) -> Result<Pen, LedgerError> {
        let name = entry.container.as_str();
        let bytes =
            codec::encode(entry).map_err(|e| self.folder.error("encode", name, io::Error::from(e)))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.folder.error("write", name, codec::too_long()));
        }
        if name.len() > MOST_ID_BYTES {
            return Err(self.folder.error("write", name, Errno::ENAMETOOLONG));
        }
        let temporary = temporary_name(entry);
        let file = self.written(&temporary, &bytes).inspect_err(|_| {
            let _ = self.folder.unlink(&temporary);
        })?;
        self.named(&temporary, name)?;
        Ok(Pen::new(file, self.folder.path(), name, bytes.len() as u64, entry))
    }

    fn written(&self, temporary: &str, bytes: &[u8]) -> Result<File, LedgerError> {
        let file = self.create_temporary(temporary).map_err(|e| self.folder.error("create", temporary, e))?;
        write_at(&file, temporary, bytes, 0).map_err(|e| self.folder.error("write", temporary, e))?;
        sync_file(&file, temporary).map_err(|e| self.folder.error("sync", temporary, e))?;
        Ok(file)
    }

    /// The name has our process number in it: who has it already was killed, and its number given out again.
    fn create_temporary(&self, name: &str) -> Result<File, Errno> {
        match self.folder.create_new(name) {
            Err(Errno::EEXIST) => {
                self.folder.unlink(name)?;
                self.folder.create_new(name)
            }
            other => other,
        }
    }

    fn named(&self, temporary: &str, name: &str) -> Result<(), LedgerError> {
        if let Err(e) = self.folder.rename(temporary, name) {
            let _ = self.folder.unlink(temporary);
            return Err(self.folder.error("rename a new entry to", name, e));
        }
        self.folder.sync().map_err(|e| {
            let _ = self.folder.unlink(name);
            self.folder.error("sync the folder of", name, e)
        })
    }

    /// The entry of a sandbox. `Ok(None)` is the only answer that means "nothing was recorded".
    pub fn read(&self, id: &ContainerId) -> Result<Option<Entry>, Unreadable> {
        Ok(self.open_entry(id)?.map(|o| o.entry))
    }

    /// The entry of a sandbox, to go on writing it. The caller holds the sandbox lock.
    ///
    /// What cannot be used is set aside as it is. A file that was set aside and makes sense now, because it came from
    /// a newer release that has returned, is taken back.
    pub fn open_entry(&self, id: &ContainerId) -> Result<Option<Opened>, Unreadable> {
        match self.load(id) {
            Ok(Some(opened)) => Ok(Some(opened)),
            Ok(None) => self.open_set_aside(id),
            Err(fault) => Err(self.unreadable(id, fault)),
        }
    }

    /// Reads the file under the entry's own name.
    pub(super) fn load(&self, id: &ContainerId) -> Result<Option<Opened>, Fault> {
        let name = id.as_str();
        let mut file = match self.folder.look(name) {
            Ok(Lies::Nothing) => return Ok(None),
            Ok(Lies::Ours(file)) => file,
            Ok(Lies::Alien(what)) => return Err(Fault::Alien(what)),
            Err(e) => return Err(Fault::Io(Some(e as i32))),
        };
        let Decoded { entry, flaws, end } = decode_steadily(&mut file)?;
        if entry.container != *id {
            return Err(Fault::WrongName(entry.container.to_string()));
        }
        let pen = Pen::new(file, self.folder.path(), name, end as u64, &entry);
        Ok(Some(Opened { entry, pen, flaws }))
    }

    /// Forgets a sandbox whose attachments are all gone. Not fsynced: an entry that a power cut brings back is undone
    /// once more by the boot sweep, and DEL of what is gone is success.
    pub fn remove(&self, id: &ContainerId) -> Result<(), LedgerError> {
        match self.folder.unlink(id.as_str()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(self.folder.error("remove", id.as_str(), e)),
        }
        // A count that stays hinders nobody.
        if let Err(e) = self.forget_counts(id) {
            tracing::debug!(container = %id, "{e}");
        }
        Ok(())
    }

    /// Removes temporary files of writers that were killed. Only while nobody writes: under the node lock of GC, or
    /// in the boot sweep.
    pub fn remove_unfinished_writes(&self) {
        self.remove_temporaries(|name| name.starts_with(TEMPORARY));
        self.remove_old_unfinished_writes();
    }

    /// The same while others may write: where nobody calls GC, by the idle sweep. A writer takes milliseconds.
    pub(super) fn remove_old_unfinished_writes(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let is_old = |name: &str| {
            let written = self.folder.stat(name).ok().and_then(|stat| u64::try_from(stat.st_mtime).ok());
            written.is_some_and(|written| now.saturating_sub(written) >= durable::UNFINISHED_SECONDS)
        };
        self.remove_temporaries(is_old);
    }

    fn remove_temporaries(&self, which: impl Fn(&str) -> bool) {
        let names = self.folder.names().unwrap_or_default();
        let temporary = |n: &&str| n.starts_with(TEMPORARY) || n.starts_with(durable::UNFINISHED);
        for name in names.iter().filter_map(|n| n.to_str()).filter(temporary).filter(|n| which(n)) {
            let _ = self.folder.unlink(name);
        }
    }
}

/// Reads and decodes; a second look where the states were damaged, because a reader without the lock may have met
/// their overwriting half way.
pub(super) fn decode_steadily(file: &mut File) -> Result<Decoded, Fault> {
    let mut last = read_and_decode(file)?;
    for _ in 0..2 {
        if !last.flaws.contains(&Flaw::States) {
            break;
        }
        last = read_and_decode(file)?;
    }
    Ok(last)
}

fn read_and_decode(file: &mut File) -> Result<Decoded, Fault> {
    use std::io::Seek as _;
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|e| Fault::io(&e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Fault::Alien(format!("a file of more than {MAX_BYTES} bytes")));
    }
    codec::decode(&bytes)
}

const TEMPORARY: &str = ".new-";
/// Longer ids leave no room in a file name for what is noted beside the id: that the entry is damaged, and how often DEL failed.
pub const MOST_ID_BYTES: usize = 190;

/// Unique among processes (also those of an earlier boot, whose leftovers may still lie there).
fn temporary_name(entry: &Entry) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{TEMPORARY}{}-{pid}-{n}", entry.boot)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
