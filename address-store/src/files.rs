//! Small files, whole or not there. No link is followed in the last step of a path, and a pipe planted there does not block.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use manifold_addresses::file::MAX_BYTES;
use manifold_ledger::flock::{How, Waited, lock_until, try_lock};
use nix::fcntl::OFlag;
use std::time::Instant;

use crate::StoreError;

const PRIVATE: u32 = 0o600;

fn plain() -> i32 {
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()
}

/// The content, or `None` where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let fail = |e| StoreError::io("read", path, e);
    let file = match OpenOptions::new().read(true).custom_flags(plain()).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fail)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(bytes))
}

/// Replaces a file durably: whatever happens, the old one or the new one is there. `beside` is what it is called until it is
/// whole: one writer at a time for each such name.
pub(crate) fn put(folder: &Path, beside: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (beside, path) = (folder.join(beside), folder.join(name));
    remove(&beside)?;
    create_durably(&beside, bytes)?;
    fs::rename(&beside, &path).map_err(|e| StoreError::io("write", &path, e))?;
    sync_folder(&path)
}

fn create_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    create(path, bytes)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| StoreError::io("write", path, e))
}

/// Makes a file durably where there is none. A power cut may leave it torn.
pub(crate) fn make(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    create_durably(path, bytes)?;
    sync_folder(path)
}

/// Makes a file that must not exist; `false` where it does. Not durable.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    let fail = |e| StoreError::io("make", path, e);
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(PRIVATE).custom_flags(plain());
    let mut file = match open.open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
        opened => opened.map_err(fail)?,
    };
    file.write_all(bytes).map(|()| true).map_err(|e| {
        let _ = fs::remove_file(path); // The first error is the one to tell.
        fail(e)
    })
}

/// Writes over a file and cuts it to length: cheaper than a new one, and a crash between the two is harmless for what uses it.
pub(crate) fn overwrite(path: &Path, text: &str) -> Result<(), StoreError> {
    let fail = |e| StoreError::io("write", path, e);
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(false).mode(PRIVATE).custom_flags(plain());
    let mut file = open.open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.set_len(text.len() as u64)).map_err(fail)
}

/// Removing what is not there is success.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| StoreError::io("remove", path, e)),
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| StoreError::io("make", path, e))
}

/// The names in a folder; none where there is no folder.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let fail = |e| StoreError::io("list", path, e);
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(fail)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is no UTF-8 is none of ours.
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    Ok(names)
}

/// Sets a file aside under one name for all of its kind: the last one is kept for people to look at.
pub(crate) fn set_aside(path: &Path) -> Result<(), StoreError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let fail = |e: io::Error| StoreError::io("set aside", path, e);
    fs::rename(path, &aside).map_err(fail)?;
    sync_folder(path)
}

pub(crate) fn sync_folder(of: &Path) -> Result<(), StoreError> {
    let folder = of.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| StoreError::io("write", folder, e))
}

/// Opened for reading, so that it can be locked on a read-only disk.
fn open_lock(path: &Path) -> Result<File, StoreError> {
    let flags = plain() | OFlag::O_CREAT.bits();
    let mut open = OpenOptions::new();
    open.read(true).mode(PRIVATE).custom_flags(flags);
    open.open(path).map_err(|e| StoreError::io("lock", path, e))
}

/// Waits for a lock until the deadline. The kernel frees it when its holder ends.
pub(crate) fn lock(path: &Path, deadline: Instant) -> Result<File, StoreError> {
    match lock_until(open_lock(path)?, How::Exclusive, deadline) {
        Ok(Waited::Locked(file)) => Ok(file),
        Ok(Waited::Busy) => Err(StoreError::Busy(path.to_owned())),
        Err(e) => Err(StoreError::io("lock", path, e)),
    }
}

/// The lock if it is free now.
pub(crate) fn lock_if_free(path: &Path) -> Result<Option<File>, StoreError> {
    let tried = try_lock(open_lock(path)?, How::Exclusive);
    tried.map(Result::ok).map_err(|e| StoreError::io("lock", path, e))
}
