//! Processes that live on when the command that started them has ended, and are found again by the next one.
//!
//! A process is known by its number and by when it started, so that a number that was given to somebody else meanwhile
//! is never killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::Place;
use crate::child;

/// How many lines an error repeats of what a component said last.
const LAST_WORDS: usize = 8;
/// The kernel needs a moment to end a process with much memory; a busy machine, some more.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process by number and by the clock tick in which it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pid: i32,
    start: u64,
}

/// One component, by its name.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    pid_file: PathBuf,
    log: PathBuf,
}

impl Known {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program may hold anything, brackets included.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let state = words.next()?;
        let start = words.nth(18)?.parse().ok()?;
        // A zombie does nothing any more; who should collect it is somebody else.
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start })
    }

    pub(super) fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    pub(super) fn signal(self, signal: Signal) -> io::Result<()> {
        if !self.lives() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Returns when none of them lives.
pub(super) fn wait_gone(all: &[Known]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(left) = all.iter().find(|known| known.lives()) {
        if Instant::now() > deadline {
            bail!("process {} lives on {PATIENCE:?} after SIGKILL", left.pid);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

impl Daemon {
    pub(super) fn new(place: &Place, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pid_file: place.join("run").join(format!("{name}.pid")),
            log: place.log(name),
        }
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&self, mut command: Command) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        for file in [&self.pid_file, &self.log] {
            let folder = file.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        let output = File::options().create(true).append(true).open(&self.log);
        let output = output.with_context(|| format!("cannot write `{}`", self.log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone().context("cannot share a log")?).stderr(output);
        let child = child::spawn_detached(command).with_context(|| format!("cannot start {}", self.name))?;
        let pid = i32::try_from(child.id()).context("a process number is too large")?;
        let Some(known) = Known::of(pid) else {
            bail!("{} ended at once; its last words:\n{}", self.name, self.last_words())
        };
        fs::write(&self.pid_file, format!("{} {}", known.pid, known.start))
            .with_context(|| format!("cannot write `{}`", self.pid_file.display()))
    }

    pub fn is_running(&self) -> bool {
        self.known().is_some_and(Known::lives)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.known().filter(|known| known.lives()).and_then(|known| u32::try_from(known.pid).ok())
    }

    pub(super) fn must_run(&self) -> anyhow::Result<()> {
        if !self.is_running() {
            bail!("{} does not run; its last words:\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Kills it, as a crash does, and returns when it is gone.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Asks it to end, and returns when it has.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.end(Signal::SIGTERM)
    }

    fn end(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(known) = self.known() else { return Ok(()) };
        known.signal(signal).with_context(|| format!("cannot signal {}", self.name))?;
        wait_gone(&[known]).with_context(|| format!("{} does not end", self.name))?;
        let _ = fs::remove_file(&self.pid_file);
        Ok(())
    }

    fn known(&self) -> Option<Known> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, start) = text.split_once(' ')?;
        Some(Known { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_to_another_process_is_not_the_known_one() {
        let own = Known::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.lives());
        assert!(!Known { start: own.start + 1, ..own }.lives());
        assert!(Known::of(-5).is_none());
    }

    #[test]
    fn a_daemon_is_found_again_and_killed() {
        let folder = crate::janitor::Scratch::new("daemon").unwrap();
        let place = Place::at(folder.path());
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        Daemon::new(&place, "sleeper").start(sleep).unwrap();
        let again = Daemon::new(&place, "sleeper");
        assert!(again.is_running());
        again.kill().unwrap();
        assert!(!again.is_running());
        assert!(again.must_run().is_err());
    }
}
