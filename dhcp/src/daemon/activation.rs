//! A socket that systemd opened: exactly one, as file descriptor 3 (`sd_listen_fds(3)`).

use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::net::UnixListener;

use anyhow::bail;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::Activation;

const FIRST: RawFd = 3;

/// `None` when the variables are not meant for this process.
pub(super) fn listener(activation: &Activation) -> anyhow::Result<Option<UnixListener>> {
    let own = activation.pid.as_deref().and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    let count = activation.fds.as_deref().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    match count {
        _ if !own => Ok(None),
        0 => Ok(None),
        1 => Ok(Some(take())),
        n => bail!("systemd passes {n} sockets, but the daemon takes one; fix the socket unit"),
    }
}

#[expect(unsafe_code, reason = "a descriptor that comes by number has no safe way in")]
fn take() -> UnixListener {
    // SAFETY: systemd says that descriptor 3 is ours, and nobody else in this process has taken it.
    let listener = unsafe { UnixListener::from_raw_fd(FIRST) };
    let _ = fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    listener
}
