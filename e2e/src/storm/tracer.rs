//! A program under ptrace: every system call of it and of what it starts is counted, and at one of them it is killed, or
//! that one fails.
//!
//! The numbers of system calls are those of x86-64, the only architecture on which tests run.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::child;

/// What happens to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing; its calls are counted.
    None,
    /// SIGKILL at the entry of this call, counted from 1. With `tree`, to everything that it started too.
    Kill { at: u64, tree: bool },
    /// Of the calls that a machine in trouble refuses, this one fails so.
    Fail { at: u64, errno: Errno },
    /// Of the calls of one number, this one fails so.
    FailOnly { number: i64, at: u64, errno: Errno },
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Its calls up to the fault: all of them, or for [`Fault::Fail`] those that can fail.
    pub calls: u64,
    /// The number of the call that the fault hit.
    pub hit: Option<i64>,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
}

/// Runs the command to its end, and no longer than `patience`. What it started lives on, as it would without a tracer.
///
/// By a thread of its own: when a tracer ends, the kernel lets all go that it traced, threads too, whatever they do this instant.
pub fn run(command: &mut Command, fault: Fault, patience: Duration) -> anyhow::Result<Traced> {
    let traced = thread::scope(|scope| scope.spawn(|| trace(command, fault, patience)).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    wake_all_of_this_mount_namespace();
    traced
}

fn trace(command: &mut Command, fault: Fault, patience: Duration) -> anyhow::Result<Traced> {
    child::be_traced(command);
    let child = command.spawn().context("cannot start the program to be traced")?;
    let main = Pid::from_raw(i32::try_from(child.id()).context("a pid")?);
    let leash = Leash::new(main, patience);
    // It stops by itself when it has been executed.
    waitpid(main, Some(WaitPidFlag::__WALL)).context("the traced program did not start")?;
    let follow = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC;
    let traced = ptrace::setoptions(main, follow).context("the program cannot be traced").and_then(|()| {
        Tracer { main, fault, done: false, pending: None, others: BTreeSet::new(), result: Traced::new() }
            .follow()
    });
    if traced.is_err() {
        let _ = kill(main, Signal::SIGKILL);
    }
    let timed_out = leash.end_was_forced();
    traced.map(|traced| Traced { timed_out, ..traced })
}

/// Kills a program that takes too long.
pub(super) struct Leash {
    hold: mpsc::Sender<()>,
    watchdog: thread::JoinHandle<bool>,
}

impl Leash {
    pub(super) fn new(pid: Pid, patience: Duration) -> Self {
        let (hold, over) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let late = over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                // It may have ended this instant.
                let _ = kill(pid, Signal::SIGKILL);
            }
            late
        });
        Self { hold, watchdog }
    }

    /// The program has ended: whether it had to be killed.
    pub(super) fn end_was_forced(self) -> bool {
        drop(self.hold);
        self.watchdog.join().unwrap_or_default()
    }
}

/// What is traced from its first instant begins with a SIGSTOP, which stops it when nobody traces it any more. A bed has a
/// mount namespace of its own, in which there is nothing but what its calls started.
fn wake_all_of_this_mount_namespace() {
    let Ok(ours) = fs::read_link("/proc/thread-self/ns/mnt") else { return };
    if fs::read_link("/proc/self/ns/mnt").is_ok_and(|of_the_machine| of_the_machine == ours) {
        return;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        // One that has ended since has no such link.
        if let Some(pid) = pid
            && fs::read_link(process.path().join("ns/mnt")).is_ok_and(|namespace| namespace == ours)
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }
}

impl Traced {
    fn new() -> Self {
        Self { calls: 0, hit: None, code: None, signal: None, timed_out: false }
    }
}

struct Tracer {
    main: Pid,
    fault: Fault,
    /// The fault has happened: nothing is counted any more.
    done: bool,
    /// The thread whose call was turned into nothing, until its result is put in.
    pending: Option<(Pid, Errno)>,
    /// Other processes that the program started.
    others: BTreeSet<Pid>,
    result: Traced,
}

impl Tracer {
    fn follow(mut self) -> anyhow::Result<Traced> {
        self.go_on(self.main, None);
        loop {
            let any = Pid::from_raw(-1);
            let status = match waitpid(any, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => break,
                Err(error) => bail!("cannot wait for the traced program: {error}"),
            };
            self.take(status)?;
            if self.has_ended() {
                break;
            }
        }
        Ok(self.result)
    }

    fn has_ended(&self) -> bool {
        self.result.code.is_some() || self.result.signal.is_some()
    }

    fn take(&mut self, status: WaitStatus) -> anyhow::Result<()> {
        match status {
            WaitStatus::Exited(pid, code) if pid == self.main => self.result.code = Some(code),
            WaitStatus::Signaled(pid, signal, _) if pid == self.main => {
                self.result.signal = Some(signal as i32);
            }
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => drop(self.others.remove(&pid)),
            WaitStatus::PtraceSyscall(pid) => self.at_call(pid)?,
            WaitStatus::PtraceEvent(pid, _, event) => {
                if matches!(event, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK)
                    && let Ok(started) = ptrace::getevent(pid)
                {
                    self.others.insert(Pid::from_raw(i32::try_from(started).context("a pid")?));
                }
                self.go_on(pid, None);
            }
            // How a new thread or process begins.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) => self.go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
        Ok(())
    }

    /// It may have been killed this instant, then there is nothing to go on.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let counts = !self.done || self.pending.is_some();
        let _ = if counts { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }

    fn at_call(&mut self, pid: Pid) -> anyhow::Result<()> {
        let Ok(info) = ptrace::syscall_info(pid) else {
            self.go_on(pid, None);
            return Ok(());
        };
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY if !self.done => self.enter(pid),
            libc::PTRACE_SYSCALL_INFO_EXIT => self.leave(pid),
            _ => {}
        }
        self.go_on(pid, None);
        Ok(())
    }

    fn enter(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        let number = registers.orig_rax as i64;
        let counts = match self.fault {
            Fault::Fail { .. } => {
                can_fail(number, registers.rdi) && !is_handshake(number, registers.rdx, registers.r10)
            }
            Fault::FailOnly { number: only, .. } => number == only,
            Fault::None | Fault::Kill { .. } => true,
        };
        if !counts {
            return;
        }
        self.result.calls += 1;
        match self.fault {
            Fault::Kill { at, tree } if at == self.result.calls => {
                self.hit(number);
                let _ = kill(self.main, Signal::SIGKILL);
                if tree {
                    for pid in &self.others {
                        let _ = kill(*pid, Signal::SIGKILL);
                    }
                }
            }
            Fault::Fail { at, errno } | Fault::FailOnly { at, errno, .. } if at == self.result.calls => {
                self.hit(number);
                // No call at all; what it answers is put in when it is left.
                registers.orig_rax = u64::MAX;
                if ptrace::setregs(pid, registers).is_ok() {
                    self.pending = Some((pid, errno));
                }
            }
            _ => {}
        }
    }

    fn hit(&mut self, number: i64) {
        self.done = true;
        self.result.hit = Some(number);
    }

    fn leave(&mut self, pid: Pid) {
        let Some((_, errno)) = self.pending.filter(|(hit, _)| *hit == pid) else { return };
        self.pending = None;
        if let Ok(mut registers) = ptrace::getregs(pid) {
            registers.rax = (-i64::from(errno as i32)) as u64;
            let _ = ptrace::setregs(pid, registers);
        }
    }
}

/// How Rust's library hears over a pair of sockets that a process it starts came to its program: 8 bytes, without flags. No kernel
/// refuses that, and the library then waits for the end of the process, which waits for its standard input.
fn is_handshake(number: i64, length: u64, flags: u64) -> bool {
    number == libc::SYS_recvfrom && length == 8 && flags == 0
}

/// Calls that a machine in trouble refuses: about files, sockets, processes and namespaces. Not those by which a process
/// arranges its own memory, signals and threads, where the C library itself ends the process, and not what is said at the end.
fn can_fail(number: i64, first: u64) -> bool {
    const OF_THE_PROCESS_ITSELF: &[i64] = &[
        // Memory.
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_getrandom,
        // Signals, and waits for them, for others and for time.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_sigaltstack,
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_wait4,
        libc::SYS_waitid,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_restart_syscall,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        // Threads and the process as such.
        libc::SYS_futex,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_arch_prctl,
        libc::SYS_prctl,
        libc::SYS_set_tid_address,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_prlimit64,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getsid,
        libc::SYS_getpgid,
        libc::SYS_umask,
        libc::SYS_getcwd,
        libc::SYS_close,
    ];
    let is_answer = number == libc::SYS_write && (first == 1 || first == 2);
    let is_request = number == libc::SYS_read && first == 0;
    number >= 0 && !is_answer && !is_request && !OF_THE_PROCESS_ITSELF.contains(&number)
}
