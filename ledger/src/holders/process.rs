//! What is done to a process that holds the lock of a killed call. It is named by a descriptor, so that no other process
//! that got its number meanwhile is meant.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Holder;
use crate::Uptime;

/// How long a killed process is waited for; one that sleeps in the kernel does not end. Milliseconds.
const END_MILLISECONDS: u16 = 1000;

pub(super) fn kill(holder: &Holder) {
    let Ok(process) = open(holder) else { return };
    let signal = libc::c_long::from(libc::SIGKILL);
    let killed = call(libc::SYS_pidfd_send_signal, [process.as_raw_fd().into(), signal, 0, 0]);
    if killed.is_ok() {
        let mut end = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut end, PollTimeout::from(END_MILLISECONDS));
    }
}

/// Gives the lock back that the process holds. All that inherited it share one open file, so it is free for good then.
pub(super) fn unlock(holder: &Holder) -> io::Result<()> {
    let process = open(holder)?;
    let theirs = call(libc::SYS_pidfd_getfd, [process.as_raw_fd().into(), holder.descriptor.into(), 0, 0])?;
    let theirs = File::from(descriptor(theirs)?);
    let meta = theirs.metadata()?;
    // It may have closed the lock and opened something else meanwhile.
    if (meta.dev(), meta.ino()) == holder.file { theirs.unlock() } else { Err(gone()) }
}

/// The process, if it is still the one that was seen.
fn open(holder: &Holder) -> io::Result<OwnedFd> {
    let process = descriptor(call(libc::SYS_pidfd_open, [holder.pid.into(), 0, 0, 0])?)?;
    let now = super::scan::started(holder.pid).map(|started: Uptime| started == holder.started);
    if now == Some(true) { Ok(process) } else { Err(gone()) }
}

fn gone() -> io::Error {
    nix::errno::Errno::ESRCH.into()
}

fn call(number: libc::c_long, [a, b, c, d]: [libc::c_long; 4]) -> io::Result<libc::c_long> {
    #[expect(
        unsafe_code,
        reason = "three system calls on descriptors of processes; they take numbers and touch no memory of ours"
    )]
    let answer = unsafe { libc::syscall(number, a, b, c, d) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "the kernel has just made it for us, and nobody else knows of it")]
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(owned)
}
