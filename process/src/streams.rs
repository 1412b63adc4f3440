//! What goes in and comes out while a process runs, all at once, so that neither side can block the other.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::child::pidfd;
use crate::{Ended, Job, NoEnd};

/// How much of stderr is kept; more is dropped. Bytes.
pub const STDERR_MOST: usize = 64 << 10;
/// How long pipes may stay open after the process has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Output up to a limit.
#[derive(Debug, Default)]
pub struct Kept {
    /// What there was room for.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub overflow: bool,
}

pub(crate) fn watch(
    child: &mut Child,
    job: &Job<'_>,
    answered: impl Fn(&[u8]) -> bool,
) -> Result<Ended, NoEnd> {
    let exit = pidfd(child).map_err(NoEnd::Watch)?;
    let mut input = child.stdin.take().filter(|_| !job.stdin.is_empty());
    let mut output = child.stdout.take();
    let mut errors = child.stderr.take();
    for fd in
        [input.as_ref().map(AsFd::as_fd), output.as_ref().map(AsFd::as_fd), errors.as_ref().map(AsFd::as_fd)]
    {
        fd.map_or(Ok(()), never_block).map_err(NoEnd::Watch)?;
    }
    let (mut unsent, mut stdout, mut stderr) = (job.stdin, Kept::default(), Kept::default());
    let mut status = None;
    let mut until = job.deadline;
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
        if readable && !drain(&mut output, &mut stdout, job.stdout_most) {
            output = None;
        }
        if complaining && !drain(&mut errors, &mut stderr, STDERR_MOST) {
            errors = None;
        }
        if exited {
            status = child.try_wait().map_err(NoEnd::Watch)?;
            input = None;
            // All that the process itself wrote is in the pipes by now.
            drain(&mut output, &mut stdout, job.stdout_most);
            drain(&mut errors, &mut stderr, STDERR_MOST);
            until = job.deadline.min(Instant::now() + GRACE);
        }
    }
    let status = status.expect("the loop only ends once the process has");
    Ok(Ended { status, stdout, stderr })
}

/// Whether the process of this descriptor ended before `until`.
pub(crate) fn ended_by(exit: BorrowedFd<'_>, until: Instant) -> io::Result<bool> {
    let nothing = (None, PollFlags::empty());
    let ready = wait([(Some(exit), PollFlags::POLLIN), nothing, nothing, nothing], until)?;
    Ok(ready.is_some_and(|[ended, ..]| ended))
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

pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn never_block(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
