//! What goes wrong with the ledger, as sentences and as codes that the runtime acts on.

use std::io;
use std::path::PathBuf;

use manifold_cni::{CniError, ContainerId, code};
use nix::errno::Errno;

use super::{Failures, Fault};

/// The disk refused. Before the first delegate the answer is 11: nothing is touched (F-DSK-1).
#[derive(Debug, thiserror::Error)]
#[error("the ledger cannot {doing} `{}`: {}", path.display(), said(source))]
pub struct LedgerError {
    pub doing: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl LedgerError {
    pub(crate) fn new(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.into(), source: source.into() }
    }

    /// By our own bound, and not by one of the disk or the process.
    fn is_too_long(&self) -> bool {
        self.source.raw_os_error().is_none() && self.source.kind() == io::ErrorKind::FileTooLarge
    }

    fn fix(&self) -> &'static str {
        match self.source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => "free space or inodes on that file system",
            Some(Errno::EROFS) => "mount that file system writable",
            Some(Errno::EMFILE | Errno::ENFILE) => "raise the limit of open files",
            Some(Errno::ENOMEM) => "give the node more memory",
            Some(Errno::EAGAIN) => {
                "raise the limit of processes and threads (TasksMax, pids cgroup, ulimit -u)"
            }
            Some(Errno::EIO) => "the disk is failing; check the kernel log",
            None if self.is_too_long() => {
                "make the networks' plugins return shorter results, or ask for fewer networks"
            }
            _ => "check that the folder belongs to root and can be written",
        }
    }
}

fn said(e: &io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |n| words(Some(n)))
}

/// What an error number of the system says.
pub(crate) fn words(errno: Option<i32>) -> String {
    errno.map_or_else(|| "the system gave no reason".to_owned(), |n| Errno::from_raw(n).desc().to_lowercase())
}

impl From<LedgerError> for CniError {
    fn from(e: LedgerError) -> Self {
        // The same pod makes the same entry: only a person can mend that.
        Self::new(if e.is_too_long() { code::INVALID_CONFIG } else { code::TRY_AGAIN }, e.to_string())
            .details(format!("fix: {}", e.fix()))
    }
}

/// An entry lies there, but what was done cannot be told from it. DEL does what it can by the container id and then
/// fails, until the entry is parked: this is never "nothing to do" (F-DSK-3, F-DSK-4).
#[derive(Debug, thiserror::Error)]
#[error("the ledger entry of sandbox `{container}` cannot be used: {fault}")]
pub struct Unreadable {
    pub container: ContainerId,
    pub fault: Fault,
    /// Where it was set aside; nothing is moved that is not a plain file of ours.
    pub aside: Option<PathBuf>,
    /// DELs that failed for this reason so far.
    pub failures: Option<Failures>,
}

impl From<Unreadable> for CniError {
    fn from(e: Unreadable) -> Self {
        if e.fault.may_pass() {
            return Self::new(code::TRY_AGAIN, e.to_string())
                .details("nothing of it was changed; fix: none needed; the runtime retries. If this persists, check the kernel log");
        }
        if matches!(e.fault, Fault::Future(_) | Fault::NotUnderstood(_)) {
            return Self::new(code::FAILED, e.to_string()).details("it is kept as it is");
        }
        let place = match &e.aside {
            Some(path) => format!("it is kept as `{}`", path.display()),
            None => "it was left where it is".to_owned(),
        };
        let fix = "fix: look for addresses and interfaces of this sandbox that were left behind, then remove that file";
        Self::new(code::FAILED, e.to_string()).details(format!("{place}; {fix}"))
    }
}

/// A lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another call works on it still.
    #[error("{what} is still held by another call after {seconds} s")]
    Busy { what: String, seconds: u64 },
    #[error(transparent)]
    Disk(#[from] LedgerError),
}

impl From<LockError> for CniError {
    fn from(e: LockError) -> Self {
        match e {
            LockError::Busy { .. } => Self::new(code::TRY_AGAIN, e.to_string())
                .details("nothing was touched by this call; fix: try again when the other call has ended"),
            LockError::Disk(e) => e.into(),
        }
    }
}
