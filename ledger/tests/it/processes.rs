//! Locks and the gate between real processes, some of which are killed.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use manifold_ledger::gate::{Gate, NoPlace, Pass};
use manifold_ledger::{Ledger, State};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::child::{self, argument, kill_pid, say, wait_for_parent};
use crate::sample::{entry, id, result};

fn enter(state: &Path, ms: u64) -> Result<Pass, NoPlace> {
    Gate::Add.enter(state, &[], soon(ms), &|| Ok(()))
}

fn soon(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn state() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    (dir, ledger)
}

fn child_ledger() -> Ledger {
    Ledger::open(Path::new(&argument())).unwrap()
}

/// A process that inherits the sandbox lock, as an executed delegate does.
fn delegate(lock: &manifold_ledger::SandboxLock) -> u32 {
    fcntl(lock, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sleep.spawn().unwrap().id()
}

#[test]
#[ignore = "runs as a child of another test"]
fn hold_the_lock_with_a_delegate() {
    let ledger = child_ledger();
    let lock = ledger.lock(&id(), soon(5000)).unwrap();
    let pid = delegate(&lock);
    say(&pid.to_string());
    wait_for_parent();
    drop(lock);
    say("released");
    wait_for_parent();
}

// Proves: F-RUN-1
#[test]
fn after_a_killed_shim_the_lock_is_free_only_when_its_last_delegate_has_ended() {
    let (dir, ledger) = state();
    let mut shim = child::start("processes::hold_the_lock_with_a_delegate", dir.path().to_str().unwrap());
    let delegate = shim.hear().unwrap();
    shim.kill();
    let early = ledger.lock_and_cancel(&id(), soon(300));
    kill_pid(&delegate);
    assert!(early.is_err(), "the delegate still runs");
    // Long before the delegate would have ended by itself.
    assert!(ledger.lock_and_cancel(&id(), soon(40_000)).is_ok());
}

#[test]
fn a_shim_that_ends_in_order_frees_the_lock_though_a_daemon_inherited_it() {
    let (dir, ledger) = state();
    let mut shim = child::start("processes::hold_the_lock_with_a_delegate", dir.path().to_str().unwrap());
    let daemon = shim.hear().unwrap();
    assert!(ledger.lock(&id(), soon(50)).is_err());
    shim.let_go();
    assert_eq!(shim.hear().as_deref(), Some("released"));
    let free = ledger.lock(&id(), soon(40_000));
    kill_pid(&daemon);
    assert!(free.is_ok());
}

#[test]
#[ignore = "runs as a child of another test"]
fn add_until_cancelled() {
    let ledger = child_ledger();
    let lock = ledger.lock(&id(), soon(5000)).unwrap();
    ledger.write(&entry(2)).unwrap();
    say("attaching");
    let give_up = soon(90_000);
    while !lock.is_cancelled() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
    }
    if lock.is_cancelled() {
        ledger.remove(&id()).unwrap();
    }
}

// Proves: F-RUN-3
#[test]
fn a_del_makes_a_running_add_undo_itself_and_then_finds_nothing() {
    let (dir, ledger) = state();
    let mut add = child::start("processes::add_until_cancelled", dir.path().to_str().unwrap());
    assert_eq!(add.hear().as_deref(), Some("attaching"));
    assert!(ledger.read(&id()).unwrap().is_some());
    let _lock = ledger.lock_and_cancel(&id(), soon(60_000)).unwrap();
    assert!(ledger.read(&id()).unwrap().is_none());
}

#[test]
#[ignore = "runs as a child of another test"]
fn write_for_ever() {
    let ledger = child_ledger();
    say("writing");
    loop {
        let mut entry = entry(3);
        let mut pen = ledger.write(&entry).unwrap();
        for n in 0..3 {
            entry.attachments[n].state = State::Attaching;
            pen.mark(&entry).unwrap();
            entry.attachments[n].state = State::Attached;
            entry.attachments[n].result = result(5000);
            pen.save(&entry).unwrap();
        }
    }
}

// Proves: P-DEL-2
#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_plan_or_nothing() {
    for round in 0..40 {
        let (dir, ledger) = state();
        let mut writer = child::start("processes::write_for_ever", dir.path().to_str().unwrap());
        assert_eq!(writer.hear().as_deref(), Some("writing"));
        std::thread::sleep(Duration::from_micros(300 * round));
        writer.kill();
        if let Some(opened) = ledger.open_entry(&id()).unwrap() {
            assert_eq!(opened.entry.owing().count(), 3);
            for attachment in &opened.entry.attachments {
                let result = attachment.result.as_ref().map_or(5000, |r| r.as_slice().len());
                assert_eq!(result, 5000, "half a result is none");
            }
        }
    }
}

#[test]
#[ignore = "runs as a child of another test"]
fn pass_the_gate() {
    let state = argument();
    say("waiting");
    let pass = enter(Path::new(&state), 300_000).unwrap();
    say("inside");
    wait_for_parent();
    drop(pass);
    say("outside");
}

/// Tells of a child that has got inside, and keeps it there until somebody takes it.
fn follow(mut child: child::Process, inside: &mpsc::Sender<child::Process>) {
    assert_eq!(child.hear().as_deref(), Some("inside"));
    inside.send(child).unwrap();
}

// Shows part of: F-RUN-4
#[test]
fn of_sixty_four_processes_sixteen_are_inside_at_once_and_all_get_through() {
    let (dir, _) = state();
    let path = dir.path().to_str().unwrap();
    let held: Vec<Pass> = (0..16).map(|_| enter(dir.path(), 2000).unwrap()).collect();
    let mut all: Vec<_> = (0..64).map(|_| child::start("processes::pass_the_gate", path)).collect();
    for child in &mut all {
        assert_eq!(child.hear().as_deref(), Some("waiting"));
    }
    let (tell, inside) = mpsc::channel();
    let followers: Vec<_> = all
        .into_iter()
        .map(|child| (child, tell.clone()))
        .map(|(child, tell)| std::thread::spawn(move || follow(child, &tell)))
        .collect();
    let moment = Duration::from_millis(100);
    assert!(inside.recv_timeout(moment).is_err(), "the slots are taken");
    drop(held);
    let next = || inside.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut now: VecDeque<child::Process> = (0..16).map(|_| next()).collect();
    for round in 0..48 {
        assert!(round % 16 != 0 || inside.recv_timeout(moment).is_err(), "a seventeenth");
        let mut one = now.pop_front().unwrap();
        one.let_go();
        assert_eq!(one.hear().as_deref(), Some("outside"));
        // No slot stands idle: the next one comes without anything else having to happen.
        now.push_back(next());
    }
    followers.into_iter().for_each(|follower| follower.join().unwrap());
}

#[test]
#[ignore = "runs as a child of another test"]
fn hold_a_slot() {
    let pass = enter(Path::new(&argument()), 60_000);
    say("inside");
    wait_for_parent();
    drop(pass);
}

// Shows part of: F-RUN-4
#[test]
fn the_kernel_frees_the_slot_of_a_killed_process() {
    let (dir, _) = state();
    let _held: Vec<Pass> = (0..15).map(|_| enter(dir.path(), 2000).unwrap()).collect();
    let mut child = child::start("processes::hold_a_slot", dir.path().to_str().unwrap());
    assert_eq!(child.hear().as_deref(), Some("inside"));
    assert!(enter(dir.path(), 50).is_err());
    let path = dir.path().to_owned();
    let waiter = std::thread::spawn(move || enter(&path, 60_000).is_ok());
    std::thread::sleep(Duration::from_millis(100));
    child.kill();
    assert!(waiter.join().unwrap(), "the slot is free with the process");
}

/// Memory that is the process's own and written to, in KiB.
fn private_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|l| l.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// Shows part of: F-RUN-4
// Proves: P-PERF-1
#[test]
fn waiting_at_the_gate_costs_little_memory() {
    let (dir, _) = state();
    let path = dir.path().to_str().unwrap();
    let _held: Vec<Pass> = (0..16).map(|_| enter(dir.path(), 2000).unwrap()).collect();
    let mut first = child::start("processes::wait_at_the_gate", path);
    let mut second = child::start("processes::wait_at_the_gate", path);
    for waiter in [&mut first, &mut second] {
        let before: u64 = waiter.hear().unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let waiting = private_kib(waiter.pid());
        assert!(waiting.saturating_sub(before) < 256, "{before} KiB before, {waiting} KiB while it waits");
    }
}

#[test]
#[ignore = "runs as a child of another test"]
fn wait_at_the_gate() {
    let state = argument();
    say(&private_kib(std::process::id()).to_string());
    let _ = enter(Path::new(&state), 60_000);
}
