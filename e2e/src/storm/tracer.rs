//! A program under ptrace: every system call of it and of what it starts is counted, and at one of them it is killed, or
//! that one fails.
//!
//! The numbers of system calls are those of x86-64, the only architecture on which tests run.

use std::collections::BTreeSet;
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

/// Runs the command to its end. The calling thread must have no other children meanwhile.
pub fn run(command: &mut Command, fault: Fault, patience: Duration) -> anyhow::Result<Traced> {
    child::be_traced(command);
    let child = command.spawn().context("cannot start the program to be traced")?;
    let main = Pid::from_raw(i32::try_from(child.id()).context("a pid")?);
    // It stops by itself when it has been executed.
    waitpid(main, Some(WaitPidFlag::__WALL)).context("the traced program did not start")?;
    let follow = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, follow).context("the program cannot be traced")?;
    let (leash, over) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        if late {
            // It may have ended this instant.
            let _ = kill(main, Signal::SIGKILL);
        }
        late
    });
    let traced =
        Tracer { main, fault, done: false, pending: None, others: BTreeSet::new(), result: Traced::new() }
            .follow();
    drop(leash);
    let timed_out = watchdog.join().unwrap_or_default();
    traced.map(|traced| Traced { timed_out, ..traced })
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
                self.let_others_go()?;
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
                self.result.signal = Some(signal as i32)
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
            Fault::Fail { .. } => can_fail(number, registers.rdi),
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

    /// What the program left behind lives on without us, as it would without a tracer.
    fn let_others_go(&mut self) -> anyhow::Result<()> {
        for pid in &self.others {
            // What cannot be stopped has ended.
            let _ = kill(*pid, Signal::SIGSTOP);
        }
        // One by one: the calling thread may have other children, which this is not about.
        while let Some(pid) = self.others.pop_first() {
            self.let_go(pid)?;
        }
        // One whose parent was killed while it started it was never told of.
        let any = Pid::from_raw(-1);
        let at_once = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
        while let Ok(status) = waitpid(any, Some(at_once)) {
            let Some(pid) = status.pid() else { break };
            let _ = ptrace::detach(pid, None);
            let _ = kill(pid, Signal::SIGCONT);
        }
        Ok(())
    }

    fn let_go(&mut self, pid: Pid) -> anyhow::Result<()> {
        let status = match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => return Ok(()),
            Ok(status) => status,
            Err(Errno::EINTR) => return self.let_go(pid),
            Err(error) => bail!("cannot wait for what the traced program left: {error}"),
        };
        if let WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK) = status
            && let Ok(started) = ptrace::getevent(pid)
        {
            self.others.insert(Pid::from_raw(i32::try_from(started).context("a pid")?));
        }
        let signal = match status {
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGSTOP => Some(signal),
            _ => None,
        };
        let _ = ptrace::detach(pid, signal);
        // The SIGSTOP may be on its way still.
        let _ = kill(pid, Signal::SIGCONT);
        Ok(())
    }
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
