//! A second process of the same test binary: what locks and gates are about needs real processes.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running child; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Starts the ignored test `role` of this binary in a process of its own.
pub(crate) fn start(role: &str, argument: &str) -> Process {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([role, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("CHILD_ARGUMENT", argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Process { child, lines }
}

/// What the child was started with.
pub(crate) fn argument() -> String {
    std::env::var("CHILD_ARGUMENT").expect("only started by `start`")
}

/// Tells the parent. The test harness of the child prints lines of its own around these.
pub(crate) fn say(what: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild: {what}").unwrap();
    out.flush().unwrap();
}

/// Waits until the parent closes the pipe or is gone.
pub(crate) fn wait_for_parent() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing the child says; `None` when it ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find_map(|l| l.strip_prefix("child: ").map(str::to_owned))
    }

    pub(crate) fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends a process that a child started.
pub(crate) fn kill_pid(pid: &str) {
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
}
