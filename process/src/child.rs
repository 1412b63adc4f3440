//! The process itself: how it begins, and how it is ended.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::umask;
use nix::unistd::Pid;

use crate::streams::{ended_by, left};
use crate::{NoEnd, file_mask, handed_on};

/// How long a process that was killed may take to end.
const GRACE: Duration = Duration::from_secs(1);
/// "text file busy": somebody is installing the file right now (CNI-EXE-5).
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn start(command: &mut Command, deadline: Instant) -> Result<Child, NoEnd> {
    command.process_group(0);
    die_with_us(command);
    let mut tries = 1;
    loop {
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) && tries < BUSY_TRIES => {
                if left(deadline) <= BUSY_PAUSE {
                    return Err(NoEnd::Start(e));
                }
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(e) => return Err(NoEnd::Start(e)),
        }
    }
}

/// SIGKILL for the group, and for the process itself in case it left the group; then it is collected.
pub(crate) fn end(child: &mut Child) {
    let Ok(pid) = i32::try_from(child.id()).map(Pid::from_raw) else { return };
    // ESRCH only says that it has just ended.
    let _ = killpg(pid, Signal::SIGKILL);
    let _ = kill(pid, Signal::SIGKILL);
    let gone = pidfd(child).and_then(|exit| ended_by(exit.as_fd(), Instant::now() + GRACE));
    // A process that sleeps in the kernel cannot be killed; it is not waited for.
    if !matches!(gone, Ok(false)) {
        let _ = child.try_wait();
    }
}

/// Has the kernel kill the child when the thread that starts it ends, and with it the process at the latest; leaves
/// open in it what the thread hands on (F-RUN-1).
fn die_with_us(command: &mut Command) {
    let parent = nix::unistd::getpid();
    let mask = file_mask::of_caller();
    let keep_open = handed_on::now();
    let prepare = move || {
        if let Some(mask) = mask {
            umask(mask);
        }
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have died between fork and the line above; then nobody would send the signal.
        if nix::unistd::getppid() != parent {
            return Err(io::Error::from(nix::errno::Errno::ESRCH));
        }
        for fd in &keep_open {
            fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec: `prepare` makes system calls and does not allocate"
    )]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// A descriptor that becomes readable when the process ends.
pub(crate) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "pidfd_open takes two numbers and returns a new descriptor or -1; std has no stable form"
    )]
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child.id(), 0);
        match i32::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
