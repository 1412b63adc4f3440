//! The state folder: every file in it is reached from its descriptor, no link is followed, new files are 0600.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, geteuid, unlinkat};

use super::LedgerError;

#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What lies under a name.
#[derive(Debug)]
pub(super) enum Lies {
    Nothing,
    /// A plain file of ours.
    Ours(File),
    /// Anything else: what it is. It was not opened.
    Alien(String),
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const PLAIN: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);
const PRIVATE_FILE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const PRIVATE_FOLDER: Mode = Mode::S_IRWXU;

impl Folder {
    /// Opens the folder, making it (0700) and its parents where they are missing.
    pub(super) fn create(path: &Path) -> Result<Self, LedgerError> {
        if let Some(found) = Self::existing(path)? {
            return Ok(found);
        }
        let made = path
            .parent()
            .map_or(Ok(()), |up| DirBuilder::new().recursive(true).mode(0o755).create(up))
            .and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path));
        made.map_err(|e| LedgerError::new("make the folder", path, e))?;
        Self::existing(path)?.ok_or_else(|| LedgerError::new("open the folder", path, Errno::ENOENT))
    }

    pub(super) fn existing(path: &Path) -> Result<Option<Self>, LedgerError> {
        match open(path, FOLDER, Mode::empty()) {
            Ok(fd) => Self::ours(fd, path.to_owned()).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(LedgerError::new("open the folder", path, e)),
        }
    }

    /// A folder of ours inside this one.
    pub(super) fn sub(&self, name: &str, create: bool) -> Result<Option<Self>, LedgerError> {
        let path = self.path.join(name);
        for _ in 0..2 {
            match openat(&self.fd, name, FOLDER, Mode::empty()) {
                Ok(fd) => return Self::ours(fd, path).map(Some),
                Err(Errno::ENOENT) if create => {}
                Err(Errno::ENOENT) => return Ok(None),
                Err(e) => return Err(LedgerError::new("open the folder", path, e)),
            }
            match mkdirat(&self.fd, name, PRIVATE_FOLDER) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(LedgerError::new("make the folder", path, e)),
            }
        }
        Err(LedgerError::new("open the folder", path, Errno::ENOENT))
    }

    fn ours(fd: OwnedFd, path: PathBuf) -> Result<Self, LedgerError> {
        let stat = fstat(&fd).map_err(|e| LedgerError::new("examine the folder", &path, e))?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(LedgerError::new("trust the folder", path, Errno::EPERM));
        }
        if stat.st_mode & 0o077 != 0 {
            // Best effort: a read-only disk keeps the mode it has.
            let _ = fchmod(&fd, PRIVATE_FOLDER);
        }
        Ok(Self { fd, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn error(&self, doing: &'static str, name: &str, e: impl Into<io::Error>) -> LedgerError {
        LedgerError::new(doing, self.path.join(name), e)
    }

    /// Opens what lies under `name` if it is a plain file of ours; for writing too where the disk allows it.
    pub(super) fn look(&self, name: &str) -> Result<Lies, Errno> {
        let before = match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(Lies::Nothing),
            Err(e) => return Err(e),
        };
        if let Some(what) = alien(&before) {
            return Ok(Lies::Alien(what));
        }
        let fd = match openat(&self.fd, name, PLAIN | OFlag::O_RDWR, Mode::empty()) {
            Err(Errno::EROFS) => openat(&self.fd, name, PLAIN | OFlag::O_RDONLY, Mode::empty()),
            other => other,
        };
        let fd = match fd {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(Lies::Nothing),
            Err(Errno::ELOOP) => return Ok(Lies::Alien("a symbolic link".to_owned())),
            Err(e) => return Err(e),
        };
        // Once more on the descriptor: the name may have changed hands in between.
        let stat = fstat(&fd)?;
        Ok(alien(&stat).map_or_else(|| Lies::Ours(File::from(fd)), Lies::Alien))
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        !matches!(fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW), Err(Errno::ENOENT))
    }

    pub(super) fn stat<P: NixPath + ?Sized>(&self, name: &P) -> Result<FileStat, Errno> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// A new empty file, 0600; it must not exist.
    pub(super) fn create_new(&self, name: &str) -> Result<File, Errno> {
        let flags = PLAIN | OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let fd = openat(&self.fd, name, flags, PRIVATE_FILE)?;
        note(|| Op::Create(name.to_owned()));
        Ok(File::from(fd))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        renameat(&self.fd, from, &self.fd, to)?;
        note(|| Op::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn rename_into(&self, from: &str, other: &Self, to: &str) -> Result<(), Errno> {
        renameat(&self.fd, from, &other.fd, to)
    }

    pub(super) fn unlink(&self, name: &str) -> Result<(), Errno> {
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?;
        note(|| Op::Unlink(name.to_owned()));
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), Errno> {
        fsync(&self.fd)?;
        note(|| Op::SyncFolder);
        Ok(())
    }

    /// All names but `.` and `..`, sorted.
    pub(super) fn names(&self) -> Result<Vec<OsString>, Errno> {
        let mut dir = Dir::openat(&self.fd, ".", FOLDER, Mode::empty())?;
        let mut names = Vec::new();
        for item in dir.iter() {
            let name = item?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes a folder of ours in the state folder, and that one too where it is missing: for the gate and the spool, which
/// may come before the ledger.
pub(crate) fn make_folder(path: &Path) -> Result<(), LedgerError> {
    let (Some(state), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(LedgerError::new("make the folder", path, Errno::EINVAL));
    };
    Folder::create(state)?.sub(name, true).map(drop)
}

/// What makes a file none of ours.
pub(super) fn alien(stat: &FileStat) -> Option<String> {
    use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
    match stat.st_mode & S_IFMT {
        S_IFREG => {}
        S_IFLNK => return Some("a symbolic link".to_owned()),
        S_IFDIR => return Some("a folder".to_owned()),
        _ => return Some("a device, socket or pipe".to_owned()),
    }
    if stat.st_uid != geteuid().as_raw() {
        return Some(format!("a file of user {}", stat.st_uid));
    }
    (stat.st_mode & 0o022 != 0).then(|| "a file that other users may write".to_owned())
}

/// Writes all of `bytes` at `offset`. `name` is for the record of operations that the power-cut test replays.
pub(super) fn write_at(file: &File, name: &str, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)?;
    note(|| Op::Write(name.to_owned(), offset, bytes.to_vec()));
    Ok(())
}

pub(super) fn sync_file(file: &File, name: &str) -> io::Result<()> {
    file.sync_data()?;
    note(|| Op::Sync(name.to_owned()));
    Ok(())
}

/// One operation on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create(String),
    Write(String, u64, Vec<u8>),
    Sync(String),
    Rename(String, String),
    Unlink(String),
    SyncFolder,
}

#[cfg(not(test))]
fn note(_: impl FnOnce() -> Op) {}

#[cfg(test)]
thread_local! {
    pub(super) static OPS: std::cell::RefCell<Vec<Op>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
fn note(op: impl FnOnce() -> Op) {
    OPS.with_borrow_mut(|ops| ops.push(op()));
}
