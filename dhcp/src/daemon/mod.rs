//! The daemon's process: what it is told, where it listens, how it ends.

mod activation;
mod flags;
mod server;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use manifold_cni::CniError;
use manifold_net::UnixConnection;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

pub use flags::{Flags, USAGE};

use crate::registry::Registry;
use crate::rpc::{self, Request};
use crate::store::Store;

/// What the environment says of systemd's sockets: `LISTEN_PID` and `LISTEN_FDS`.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    pub pid: Option<String>,
    pub fds: Option<String>,
}

/// Serves until SIGTERM or SIGINT, then removes its socket and its pid file. Leases stay: the next daemon goes on.
pub fn run(flags: &Flags, activation: &Activation) -> anyhow::Result<()> {
    // Blocked before the first thread starts, so that every thread has them blocked and only the server takes them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block().context("signals cannot be blocked")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("signals cannot be read")?;
    let (listener, own_socket) = match activation::listener(activation)? {
        Some(listener) => (listener, None),
        None => {
            let path = flags.socket();
            (listen(&path)?, Some(Removed(path)))
        }
    };
    let _pid_file = flags.pid_file.as_deref().map(write_pid).transpose()?;
    let store = Store::open(&flags.state_dir)
        .with_context(|| format!("leases cannot be kept in `{}`", flags.state_dir.display()))?;
    let registry = Registry::new(store, flags.patience);
    let resumed = registry.resume().context("the leases of an earlier daemon cannot be read")?;
    tracing::info!(resumed, socket = ?own_socket.as_ref().map(|s| &s.0), "serving");
    server::serve(&listener, &signals, &registry, flags.host_prefix.as_deref())
}

/// How long a daemon may think about whether it serves.
const STATUS: Duration = Duration::from_secs(4);

/// Whether a daemon of these flags answers.
pub fn status(flags: &Flags) -> Result<(), CniError> {
    Ok(rpc::call(&flags.socket(), &Request::Status, Instant::now() + STATUS).map(drop)?)
}

/// A file that goes when the daemon ends in order.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// For root alone: the folder where it is ours to make, and the socket (S-14).
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("the folder `{}` cannot be made", folder.display()))?;
    }
    if is_served(path)? {
        bail!("another daemon serves at `{}`; stop it first, or use another `-socketpath`", path.display());
    }
    // What lies there is of a daemon that was killed.
    let _ = fs::remove_file(path);
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    nix::sys::stat::umask(old);
    listener.with_context(|| format!("cannot listen at `{}`", path.display()))
}

/// One whose queue is full is served as well.
fn is_served(path: &Path) -> io::Result<bool> {
    let address = SocketAddr::from_pathname(path)?;
    match UnixConnection::open(&address, Instant::now() + STATUS) {
        Ok(_) => Ok(true),
        Err(error) => Ok(error.kind() == io::ErrorKind::TimedOut),
    }
}

fn write_pid(path: &Path) -> anyhow::Result<Removed> {
    if !path.is_absolute() {
        bail!("`-pidfile {}` is not absolute; begin it with `/`", path.display());
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("the pid file `{}` cannot be written", path.display()))?;
    write!(file, "{}", std::process::id())?;
    Ok(Removed(path.to_owned()))
}
