//! Network namespaces: is this path one, is it the same as that one, and how work is done inside it.
//!
//! A thread that entered another namespace comes back before anything else runs on it, or the process ends: no other
//! work can ever land in the wrong namespace.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, PROC_SUPER_MAGIC, fstatfs};

const CURRENT: &str = "/proc/thread-self/ns/net";

/// An open network namespace. It lives at least as long as this value; clones share it.
#[derive(Clone)]
pub struct Netns {
    file: Arc<File>,
    id: NetnsId,
}

/// What makes two namespaces the same one, whatever paths lead to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetnsId {
    /// The device of nsfs.
    pub dev: u64,
    /// The inode, which is unique among namespaces that exist.
    pub ino: u64,
}

/// Why a namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The path leads nowhere. For DEL that means the work is done.
    #[error("network namespace `{}` does not exist", path.display())]
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// The path leads to something else, such as the empty file a reboot leaves behind.
    #[error("`{}` exists but is not a network namespace; remove it or correct the path", path.display())]
    NotANetns {
        /// Where.
        path: PathBuf,
    },
    /// The path cannot be opened.
    #[error("network namespace `{}` cannot be opened ({source})", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error("cannot {what} ({source})")]
    Enter {
        /// What was to be done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl NetnsError {
    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The system's error number, where it refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::NotFound { .. } | Self::NotANetns { .. } => None,
            Self::Open { source, .. } | Self::Enter { source, .. } => source.raw_os_error(),
        }
    }
}

impl Netns {
    /// Opens the namespace at a path, after checking that it is one.
    ///
    /// # Errors
    /// If the path does not exist or is no network namespace.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NetnsError> {
        let path = path.as_ref();
        // Without O_NONBLOCK a named pipe at that path would hold the caller for ever.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits())
            .open(path);
        let file = opened.map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH) => NetnsError::NotFound { path: path.into() },
            // Sockets, and devices without a driver.
            Some(Errno::ENXIO | Errno::ENODEV) => NetnsError::NotANetns { path: path.into() },
            _ => NetnsError::Open { path: path.into(), source },
        })?;
        match is_netns(&file) {
            Ok(true) => {
                Self::from_file(file).map_err(|source| NetnsError::Open { path: path.into(), source })
            }
            Ok(false) => Err(NetnsError::NotANetns { path: path.into() }),
            Err(errno) => Err(NetnsError::Open { path: path.into(), source: errno.into() }),
        }
    }

    /// The namespace the calling thread is in.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn current() -> Result<Self, NetnsError> {
        Self::open(CURRENT)
    }

    /// A new empty namespace, which ends with this value (and its links with it, save physical ones).
    ///
    /// # Errors
    /// If this process may not make namespaces.
    pub fn create() -> Result<Self, NetnsError> {
        let _returns = WayBack::from_here()?;
        let what = "create a network namespace";
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| NetnsError::Enter { what, source: e.into() })?;
        Self::current()
    }

    fn from_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { id: NetnsId { dev: metadata.dev(), ino: metadata.ino() }, file: Arc::new(file) })
    }

    /// What tells it from all other namespaces that exist.
    pub fn identity(&self) -> NetnsId {
        self.id
    }

    /// Whether the calling thread is in this namespace.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn is_current(&self) -> Result<bool, NetnsError> {
        let metadata =
            std::fs::metadata(CURRENT).map_err(|source| NetnsError::Open { path: CURRENT.into(), source })?;
        Ok(self.id == NetnsId { dev: metadata.dev(), ino: metadata.ino() })
    }

    /// Does the work inside this namespace and returns to the one the calling thread is in now, also after a panic. No
    /// other thread is moved. A thread for it would cost more than the work mostly does: a socket, some settings.
    ///
    /// # Errors
    /// If the namespace cannot be entered; the work was not done then.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, NetnsError> {
        let _returns = WayBack::from_here()?;
        setns(self.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|e| NetnsError::Enter { what: "enter the network namespace", source: e.into() })?;
        Ok(work())
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

/// Before each try to return.
const PAUSES_MILLISECONDS: [u64; 5] = [0, 1, 10, 100, 1000];

/// Brings the thread back. A thread that cannot return must not go on: it would take the pod for the host.
struct WayBack(File);

impl WayBack {
    fn from_here() -> Result<Self, NetnsError> {
        let home = File::open(CURRENT).map_err(|source| NetnsError::Open { path: CURRENT.into(), source })?;
        Ok(Self(home))
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        // A kernel without memory refuses for a moment, and a call that ends here says nothing to the runtime.
        for pause in PAUSES_MILLISECONDS {
            std::thread::sleep(Duration::from_millis(pause));
            if setns(&self.0, CloneFlags::CLONE_NEWNET).is_ok() {
                return;
            }
        }
        std::process::abort();
    }
}

/// Namespaces live on nsfs (on proc, before Linux 3.19); other kinds of namespaces live there too.
fn is_netns(file: &File) -> Result<bool, Errno> {
    let filesystem = fstatfs(file)?.filesystem_type();
    if filesystem != NSFS_MAGIC && filesystem != PROC_SUPER_MAGIC {
        return Ok(false);
    }
    match namespace_kind(file) {
        Ok(kind) => Ok(kind == CloneFlags::CLONE_NEWNET.bits()),
        // An emulator of another processor (qemu-user) does not know the request, which every kernel does. Entering
        // the namespace fails then if it is of another kind.
        Err(Errno::ENOSYS) => Ok(filesystem == NSFS_MAGIC),
        Err(_) => Ok(false),
    }
}

#[expect(
    unsafe_code,
    reason = "the request number is the kernel's, takes no pointer, and works on any descriptor"
)]
fn namespace_kind(file: &File) -> Result<i32, Errno> {
    nix::ioctl_none!(ns_get_nstype, 0xb7, 0x3);
    // SAFETY: the descriptor is open for as long as `file` lives, and NS_GET_NSTYPE has no argument.
    unsafe { ns_get_nstype(file.as_raw_fd()) }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netns({}:{})", self.id.dev, self.id.ino)
    }
}
