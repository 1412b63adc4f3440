//! Sweeps: DEL of sandboxes that nobody will delete any more. After a boot before the first ADD, and a few at a time
//! whenever a shim runs and a namespace has been gone for long: then by a process that no runtime waits for. Each sandbox is
//! undone in a process of its own ([`apart`]).

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use manifold_cni::{CniError, ContainerId, code};

use crate::apart::{self, Why};
use crate::hung::Hung;
use crate::shim::Shim;
use manifold_ledger::{BootId, BootSweep, Ledger, Uptime};

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
                    one(shim, ledger, id, &hung);
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

/// In a process of its own, as otherwise a plugin that hangs would end this call, and each later one that sweeps.
fn one(shim: &Shim, ledger: &Ledger, id: &ContainerId, hung: &Hung) {
    let left = |ledger: &Ledger| ledger.read(id).ok().flatten();
    if let Some(network) = left(ledger).and_then(|entry| hung.owed_by(&entry)) {
        return tracing::warn!(container = %id, "not swept now: network `{network}` hangs");
    }
    let done = apart::undo(shim, ledger, id, Why::OtherBoot, BOOT_EACH);
    if let Err(error) = &done.result {
        tracing::warn!(container = %id, "not swept, or in part: {error}");
    }
    if done.hung
        && let Some(left) = left(ledger)
    {
        hung.extend(&left);
    }
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
    // One after the other, and no other process beside this one.
    let Some(_only) = ledger.hold_idle(Instant::now() + IDLE_LOOK) else { return Ok(()) };
    for id in due.iter().filter_map(|id| id.parse::<ContainerId>().ok()) {
        let within = shim.config.limits.delegate;
        if let Err(error) = apart::undo(shim, &ledger, &id, Why::Forgotten, within).result {
            tracing::warn!(container = %id, "not swept, or in part: {error}");
        }
    }
    Ok(())
}
