//! One execution: start it, feed it, listen to it, end it at the deadline.
//!
//! The child leads a process group of its own, gets SIGKILL when the thread that started it ends, has our caller's file
//! mode mask, and inherits the descriptors that are named and no others. What counts is the end of the process, not the end of its pipes: a
//! grandchild may keep those open for ever (F-PLG-6).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::umask;
use nix::unistd::Pid;

/// How much of stdout is kept; more is an error of the plugin.
const MOST_STDOUT: usize = 1 << 20;
/// How much of stderr is kept; more is dropped.
pub(crate) const MOST_STDERR: usize = 64 << 10;
/// How long pipes may stay open after the process has ended.
const GRACE: Duration = Duration::from_secs(1);
/// "text file busy": somebody is installing the file right now (CNI-EXE-5).
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Kept,
    pub(crate) stderr: Kept,
}

/// Why there is no ending to look at.
#[derive(Debug)]
pub(crate) enum NoEnd {
    Start(io::Error),
    Watch(io::Error),
    /// It ran for this long and was killed.
    Deadline(Duration),
}

/// Output up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) overflow: bool,
}

/// Runs `command` to its end. `keep_open` are descriptors the child inherits, such as the sandbox lock.
/// `answered` says whether stdout is complete as it is; then nobody waits for a grandchild to close the pipe.
pub(crate) fn run(
    command: &mut Command,
    stdin: &[u8],
    keep_open: &[Arc<OwnedFd>],
    deadline: Instant,
    answered: impl Fn(&[u8]) -> bool,
) -> Result<Ended, NoEnd> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    die_with_us(command, keep_open.to_vec());
    let mut child = start(command, deadline)?;
    let begun = Instant::now();
    let ended = watch(&mut child, stdin, deadline, answered).map_err(|e| match e {
        NoEnd::Deadline(_) => NoEnd::Deadline(begun.elapsed()),
        other => other,
    });
    if ended.is_err() {
        end(&mut child);
    }
    ended
}

fn start(command: &mut Command, deadline: Instant) -> Result<Child, NoEnd> {
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

fn watch(
    child: &mut Child,
    stdin: &[u8],
    deadline: Instant,
    answered: impl Fn(&[u8]) -> bool,
) -> Result<Ended, NoEnd> {
    let exit = pidfd(child).map_err(NoEnd::Watch)?;
    let mut input = child.stdin.take().filter(|_| !stdin.is_empty());
    let mut output = child.stdout.take();
    let mut errors = child.stderr.take();
    for fd in
        [input.as_ref().map(AsFd::as_fd), output.as_ref().map(AsFd::as_fd), errors.as_ref().map(AsFd::as_fd)]
    {
        fd.map_or(Ok(()), never_block).map_err(NoEnd::Watch)?;
    }
    let (mut unsent, mut stdout, mut stderr) = (stdin, Kept::default(), Kept::default());
    let mut status = None;
    let mut until = deadline;
    while status.is_none() || output.is_some() || errors.is_some() {
        if status.is_some() && answered(&stdout.bytes) {
            break;
        }
        let wait_exit = status.is_none().then(|| exit.as_fd());
        let streams = [
            (wait_exit, PollFlags::POLLIN),
            (input.as_ref().map(AsFd::as_fd), PollFlags::POLLOUT),
            (output.as_ref().map(AsFd::as_fd), PollFlags::POLLIN),
            (errors.as_ref().map(AsFd::as_fd), PollFlags::POLLIN),
        ];
        let Some(ready) = wait(streams, until).map_err(NoEnd::Watch)? else {
            match status {
                None => return Err(NoEnd::Deadline(Duration::ZERO)),
                Some(_) => break,
            }
        };
        let [exited, writable, readable, complaining] = ready;
        if writable && !feed(&mut input, &mut unsent) {
            input = None;
        }
        if readable && !drain(&mut output, &mut stdout, MOST_STDOUT) {
            output = None;
        }
        if complaining && !drain(&mut errors, &mut stderr, MOST_STDERR) {
            errors = None;
        }
        if exited {
            status = child.try_wait().map_err(NoEnd::Watch)?;
            input = None;
            // All that the process itself wrote is in the pipes by now.
            drain(&mut output, &mut stdout, MOST_STDOUT);
            drain(&mut errors, &mut stderr, MOST_STDERR);
            until = deadline.min(Instant::now() + GRACE);
        }
    }
    let status = status.expect("the loop only ends once the process has");
    Ok(Ended { status, stdout, stderr })
}

/// SIGKILL for the group, and for the process itself in case it left the group; then it is collected.
fn end(child: &mut Child) {
    let Ok(pid) = i32::try_from(child.id()).map(Pid::from_raw) else { return };
    // ESRCH only says that it has just ended.
    let _ = killpg(pid, Signal::SIGKILL);
    let _ = kill(pid, Signal::SIGKILL);
    let gone = pidfd(child).and_then(|exit| {
        let nothing = (None, PollFlags::empty());
        let streams = [(Some(exit.as_fd()), PollFlags::POLLIN), nothing, nothing, nothing];
        wait(streams, Instant::now() + GRACE)
    });
    // A process that sleeps in the kernel cannot be killed; it is not waited for.
    if !matches!(gone, Ok(None)) {
        let _ = child.try_wait();
    }
}

/// Waits until one of the descriptors can be used; `None` when `until` has come first.
fn wait(streams: [(Option<BorrowedFd<'_>>, PollFlags); 4], until: Instant) -> io::Result<Option<[bool; 4]>> {
    let mut fds: Vec<PollFd<'_>> =
        streams.iter().filter_map(|(fd, flags)| fd.map(|fd| PollFd::new(fd, *flags))).collect();
    let timeout = left(until);
    if timeout.is_zero() {
        return Ok(None);
    }
    // Rounded up: a rounding down would spin through the last millisecond.
    let millis = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(e) => return Err(e.into()),
    }
    let mut answers = fds.iter().map(|fd| fd.any().unwrap_or(true));
    Ok(Some(streams.map(|(fd, _)| fd.is_some() && answers.next().unwrap_or(false))))
}

/// Writes what fits; `false` when all is written or nobody reads any more.
fn feed(pipe: &mut Option<impl Write>, unsent: &mut &[u8]) -> bool {
    let Some(pipe) = pipe else { return false };
    match pipe.write(unsent) {
        Ok(n) => {
            *unsent = unsent.get(n..).unwrap_or_default();
            !unsent.is_empty()
        }
        Err(e) => matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// Reads what is there; `false` at the end of the stream.
fn drain(pipe: &mut Option<impl Read>, kept: &mut Kept, most: usize) -> bool {
    let Some(pipe) = pipe else { return false };
    let mut piece = [0; 16 << 10];
    // Bounded, so that a plugin that never stops writing cannot keep us from looking at the clock.
    for _ in 0..64 {
        match pipe.read(&mut piece) {
            Ok(0) => return false,
            Ok(n) => {
                let room = most.saturating_sub(kept.bytes.len());
                kept.overflow |= n > room;
                kept.bytes.extend(piece.iter().take(n.min(room)));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn never_block(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Has the kernel kill the child when we die, and leaves `keep_open` open in it (F-RUN-1).
fn die_with_us(command: &mut Command, keep_open: Vec<Arc<OwnedFd>>) {
    let parent = nix::unistd::getpid();
    let mask = crate::file_mask::of_caller();
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
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
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
