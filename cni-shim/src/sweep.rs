//! Sweeps: DEL of sandboxes that nobody will delete any more. After a boot before the first ADD, and a few at a time
//! whenever a shim runs and a namespace has been gone for long: then in a process of its own.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use manifold_cni::{CniError, ContainerId, code};

use crate::outcome;
use crate::shim::Shim;
use crate::undo::{self, Undone};
use manifold_ledger::idle::{Verdict, judge, netns_now};
use manifold_ledger::{BootId, BootSweep, Entry, Ledger, Opened, SandboxLock, Uptime};

/// How long an ADD waits for the boot's sweep.
const BOOT_WAIT: Duration = Duration::from_secs(30);
/// What one sandbox may take of a boot's sweep, as all pods wait for it. The idle sweep has more time.
const BOOT_EACH: Duration = Duration::from_secs(10);
/// Entries swept at the same time after a boot.
const AT_ONCE: usize = 8;
/// What the idle sweep may take of a call: it only looks.
const IDLE_LOOK: Duration = Duration::from_secs(2);

pub fn boot_id() -> Result<BootId, CniError> {
    BootId::read(Path::new(BootId::PATH))
        .map_err(|e| CniError::new(code::TRY_AGAIN, format!("the boot id of the node cannot be read: {e}")))
}

/// Before the first ADD of a boot: what the last boot left is taken down, 8 at a time, without namespaces.
pub fn after_boot(shim: &Shim, ledger: &Ledger, boot: &BootId) -> Result<(), CniError> {
    let deadline = shim.began + BOOT_WAIT;
    match ledger.boot_sweep(boot, deadline)? {
        BootSweep::Swept => Ok(()),
        BootSweep::Yours(sweeper) => {
            ledger.remove_unfinished_writes();
            ledger.remove_idle_locks();
            let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let hung = Hung::default();
            let work = || {
                while let Some(id) = sweeper.stale.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(shim, ledger, id, deadline, &hung);
                    sweeper.progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            };
            std::thread::scope(|scope| {
                // This thread works too, so that the boot is swept where the node gives no other.
                for _ in 1..AT_ONCE.min(sweeper.stale.len()) {
                    let _ = std::thread::Builder::new().spawn_scoped(scope, work);
                }
                work();
            });
            Ok(sweeper.done()?)
        }
        BootSweep::Sweeping { done, all } => {
            let msg =
                format!("sweeping {done} of {all} sandboxes that the last boot left; nothing is touched yet");
            Err(CniError::new(code::TRY_AGAIN, msg).details("fix: none needed; the runtime retries"))
        }
    }
}

/// Networks that took all the time of a sandbox in this sweep. Their other sandboxes are left to the idle sweep, as otherwise
/// one network that hangs would keep every pod of the node from starting, for a time that grows with its pods.
#[derive(Default)]
struct Hung(Mutex<BTreeSet<String>>);

impl Hung {
    fn is_owed_by(&self, entry: &Entry) -> bool {
        let hung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entry.owing().any(|(_, attachment)| hung.contains(&attachment.display))
    }

    fn extend(&self, entry: &Entry) {
        let owed = entry.owing().map(|(_, attachment)| attachment.display.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(owed);
    }
}

fn one(shim: &Shim, ledger: &Ledger, id: &ContainerId, deadline: Instant, hung: &Hung) {
    let lock = match ledger.lock(id, deadline) {
        Ok(lock) => lock,
        Err(e) => return tracing::warn!(container = %id, "not swept: {e}"),
    };
    if ledger.read(id).is_ok_and(|entry| entry.is_some_and(|entry| hung.is_owed_by(&entry))) {
        return tracing::warn!(container = %id, "not swept now: one of its networks hangs");
    }
    let end = Instant::now() + BOOT_EACH;
    locked(shim, ledger, &lock, end);
    if Instant::now() >= end
        && let Ok(Some(left)) = ledger.read(id)
    {
        hung.extend(&left);
    }
}

fn locked(shim: &Shim, ledger: &Ledger, lock: &SandboxLock, deadline: Instant) {
    let id = lock.container();
    let Opened { mut entry, mut pen, .. } = match ledger.open_entry(id) {
        Ok(Some(opened)) => opened,
        Ok(None) => return,
        Err(e) => return tracing::warn!(container = %id, "not swept: {e}"),
    };
    let began = Instant::now();
    let done = undo::undo(shim, ledger, lock, &mut entry, &mut pen, deadline);
    if let Undone::Left(error) = &done {
        tracing::warn!(container = %id, "swept in part: {error}");
    }
    let parked = entry.is_parked(Uptime::now());
    outcome::note(shim, began, outcome::of_undo(&entry, &done, parked));
}

/// At most once a minute, at most four entries, by whichever call comes by: it looks, and another process of ours undoes.
/// The runtime waits for the call to end, and a plugin that hangs must not make its pod wait.
pub fn idle(shim: &Shim, ledger: &Ledger) {
    let Ok(boot) = boot_id() else { return };
    let Some(pass) = ledger.idle_pass(&boot, Uptime::now()) else { return };
    let due = pass.candidates(Instant::now() + IDLE_LOOK, shim.config.limits.delegate);
    drop(pass);
    if !due.is_empty()
        && let Err(e) = start_undo(shim, &due)
    {
        tracing::warn!("sandboxes that were never deleted are left for the next sweep: {e}");
    }
}

/// The command by which the other process is started, with the containers after it.
pub const UNDO: &str = "undo-forgotten";

/// It is not waited for: this call must end before a plugin does that hangs.
fn start_undo(shim: &Shim, due: &[ContainerId]) -> std::io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("manifold").arg(UNDO).args(due.iter().map(ContainerId::as_str));
    // Nothing of it keeps a pipe of the runtime open, and its signals are not ours.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut process = command.spawn()?;
    process.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&shim.config.bytes()))
}

/// What the other process does.
pub fn undo_forgotten(shim: &Shim, due: &[&str]) -> Result<(), CniError> {
    let Some(ledger) = Ledger::open_existing(&shim.config.state_dir)? else { return Ok(()) };
    let boot = boot_id()?;
    // One after the other, and no other process beside this one.
    let Some(_only) = ledger.hold_idle(Instant::now() + IDLE_LOOK) else { return Ok(()) };
    for id in due.iter().filter_map(|id| id.parse::<ContainerId>().ok()) {
        let Some(lock) = ledger.lock_now(&id, shim.config.limits.delegate) else { continue };
        let is_due = |entry: &Entry| judge(entry, &boot, netns_now(entry), Uptime::now()) == Verdict::Undo;
        if ledger.read(&id).is_ok_and(|entry| entry.as_ref().is_some_and(is_due)) {
            locked(shim, &ledger, &lock, Instant::now() + shim.config.limits.delegate);
        }
    }
    Ok(())
}
