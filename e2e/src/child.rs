//! How children of a test start: in which network namespace, and what ends them.
//!
//! The only unsafe code of this crate is here, because both have to happen between fork and exec.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use anyhow::Context;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};

/// Lets the command run in the network namespace mounted at `netns`.
pub fn enter_netns(command: &mut Command, netns: &Path) -> anyhow::Result<()> {
    let netns =
        File::open(netns).with_context(|| format!("there is no network namespace `{}`", netns.display()))?;
    before_exec(command, move || Ok(setns(&netns, CloneFlags::CLONE_NEWNET)?));
    Ok(())
}

/// Runs the command to its end with `stdin` as its input, and takes what it prints; a refusal is an answer, not an error.
pub(crate) fn answer(mut command: Command, stdin: &str) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let mut input = child.stdin.take().expect("stdin was asked to be a pipe");
    match input.write_all(stdin.as_bytes()) {
        // It need not read its input to the end, or at all.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("the input of a command");
        }
        _ => drop(input),
    }
    child.wait_with_output().context("cannot wait for a command")
}

/// Lets the command run in several namespaces, which are entered in this order.
pub(crate) fn enter_all(command: &mut Command, namespaces: Vec<(File, CloneFlags)>) {
    before_exec(command, move || {
        for (namespace, kind) in &namespaces {
            setns(namespace, *kind)?;
        }
        Ok(())
    });
}

/// Lets the command be traced by the thread that starts it; it stops when it has been executed.
pub(crate) fn be_traced(command: &mut Command) {
    before_exec(command, || Ok(nix::sys::ptrace::traceme()?));
}

/// Lets the command believe that the machine booted so many seconds earlier than it did.
pub(crate) fn be_later(command: &mut Command, seconds: u64) {
    /// `nix` has no name for it.
    const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);
    let offset = format!("boottime {seconds} 0\n").into_bytes();
    before_exec(command, move || {
        nix::sched::unshare(CLONE_NEWTIME)?;
        // What is executed next is in the new namespace.
        File::options().write(true).open("/proc/self/timens_offsets")?.write_all(&offset)
    });
}

/// Starts a child that lives on when this process ends, and that no terminal reaches.
pub(crate) fn spawn_detached(mut command: Command) -> io::Result<Child> {
    before_exec(&mut command, || Ok(setsid().map(drop)?));
    command.spawn()
}

/// Starts a child that lives no longer than this process, however this process ends.
///
/// The kernel sends a parent-death signal when the *thread* that forked ends, and test threads end early. So one
/// thread, which ends only with the process, starts all such children.
pub fn spawn_for_life(mut command: Command) -> io::Result<Child> {
    // Away from the terminal's group: Ctrl-C reaches the test, and the test's end reaches the child.
    command.process_group(0);
    let parent = process::id();
    before_exec(&mut command, move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the line above.
        if u32::try_from(getppid().as_raw()) == Ok(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    });
    let (answer, started) = mpsc::channel();
    nursery()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .expect("the nursery thread never ends");
    started.recv().expect("the nursery thread answers every request")
}

type Request = (Command, Sender<io::Result<Child>>);

fn nursery() -> &'static Mutex<Sender<Request>> {
    static NURSERY: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    NURSERY.get_or_init(|| {
        let (requests, queue) = mpsc::channel::<Request>();
        let nursery = thread::Builder::new().name("nursery".into()).spawn(move || {
            for (mut command, answer) in queue {
                // Who asked may have gone; the child then belongs to nobody, and still dies with the process.
                let _ = answer.send(command.spawn());
            }
        });
        nursery.expect("a thread can be started");
        Mutex::new(requests)
    })
}

#[expect(
    unsafe_code,
    reason = "entering a namespace and asking for a parent-death signal must happen in the child before exec. \
              The closures of this module only make system calls: they allocate nothing and take no lock."
)]
fn before_exec(command: &mut Command, act: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: see the reason above; this function is private to the module, so no other closure gets here.
    unsafe {
        command.pre_exec(act);
    }
}
