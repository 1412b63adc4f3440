//! One execution of a program: start it, feed it, listen to it, end it at the deadline.
//!
//! The child leads a process group of its own, gets SIGKILL when the thread that started it ends, has our caller's file
//! mode mask, and inherits the descriptors that are handed on and no others. What counts is the end of the process, not
//! the end of its pipes: a grandchild may keep those open for ever (F-PLG-6).
//!
//! Whatever Manifold executes is executed here, plugins as well as tools of the host: what one of them may not do
//! beside a later call, none may (F-RUN-1).

#![warn(missing_docs, clippy::missing_errors_doc)]

mod child;
pub mod file_mask;
mod handed_on;
mod streams;

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use handed_on::hand_on;
pub use streams::{Kept, STDERR_MOST};

/// What a program is given, and what is kept of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Its standard input.
    pub stdin: &'a [u8],
    /// It is killed at this time.
    pub deadline: Instant,
    /// How much of its standard output is kept. Bytes.
    pub stdout_most: usize,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Kept,
    /// What it complained of.
    pub stderr: Kept,
}

/// Why there is no ending to look at.
#[derive(Debug)]
pub enum NoEnd {
    /// It could not be started.
    Start(io::Error),
    /// It could not be watched, and was killed.
    Watch(io::Error),
    /// It ran for this long and was killed.
    Deadline(Duration),
}

/// Runs `command` to its end. `answered` says whether stdout is complete as it is; then nobody waits for a grandchild to
/// close the pipe.
///
/// # Errors
/// If it cannot be started or watched, or did not end in time.
pub fn run(command: &mut Command, job: &Job<'_>, answered: impl Fn(&[u8]) -> bool) -> Result<Ended, NoEnd> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child::start(command, job.deadline)?;
    let begun = Instant::now();
    let ended = streams::watch(&mut child, job, answered).map_err(|e| match e {
        NoEnd::Deadline(_) => NoEnd::Deadline(begun.elapsed()),
        other => other,
    });
    if ended.is_err() {
        child::end(&mut child);
    }
    ended
}
