//! Runs one process to its end, with a deadline, and collects what it says.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::netns::HostNs;

use super::CallOutcome;

/// After the end of the process, its pipes should be closed; this long is waited for what it left behind, and for those who
/// read them on a busy machine.
const AFTERWARDS: Duration = Duration::from_secs(10);

pub(super) fn run(
    executable: &Path,
    variables: &[(OsString, OsString)],
    input: &[u8],
    host: &HostNs,
    patience: Duration,
) -> anyhow::Result<CallOutcome> {
    let mut command = Command::new(executable);
    command.env_clear().envs(variables.iter().cloned()).process_group(0).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = host.spawn(command)?;
    let stdout = Collector::start(child.stdout.take().expect("stdout was asked to be a pipe"));
    let stderr = Collector::start(child.stderr.take().expect("stderr was asked to be a pipe"));
    let watchdog = Watchdog::start(&child, patience);
    feed(&mut child, input);
    let status = child.wait().context("cannot wait for the plugin")?;
    let wall = start.elapsed();
    let timed_out = watchdog.has_bitten();
    let deadline = Instant::now() + AFTERWARDS;
    let (stdout, stdout_held) = stdout.finish(deadline);
    let (stderr, stderr_held) = stderr.finish(deadline);
    Ok(CallOutcome {
        code: status.code(),
        signal: status.signal(),
        timed_out,
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        wall,
        held_open: stdout_held || stderr_held,
    })
}

/// In a thread: a plugin that does not read must not stop the runtime.
fn feed(child: &mut Child, input: &[u8]) {
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let input = input.to_vec();
    // A plugin may end without reading; then the pipe breaks, and the outcome tells the rest.
    thread::spawn(move || drop(stdin.write_all(&input)));
}

/// Reads a pipe to its end, beside the caller.
struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Collector {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let (end, ended) = mpsc::channel();
        let sink = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                let fresh = chunk.get(..count).unwrap_or_default();
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(fresh);
            }
            let _ = end.send(());
        });
        Self { bytes, ended }
    }

    /// What came so far, and whether somebody still holds the other end.
    fn finish(self, deadline: Instant) -> (Vec<u8>, bool) {
        let patience = deadline.saturating_duration_since(Instant::now());
        let held = self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        (std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner)), held)
    }
}

/// Kills the process group when the patience is over.
struct Watchdog {
    /// Dropped when the process has ended.
    leash: Sender<()>,
    bitten: thread::JoinHandle<bool>,
}

impl Watchdog {
    fn start(child: &Child, patience: Duration) -> Self {
        let group =
            Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process ids are positive i32"));
        let (leash, over) = mpsc::channel::<()>();
        let bitten = thread::spawn(move || {
            let late = over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                // It may have ended this instant.
                let _ = killpg(group, Signal::SIGKILL);
            }
            late
        });
        Self { leash, bitten }
    }

    fn has_bitten(self) -> bool {
        drop(self.leash);
        self.bitten.join().unwrap_or_default()
    }
}
