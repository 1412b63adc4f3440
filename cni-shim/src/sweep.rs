//! Sweeps: DEL of sandboxes that nobody will delete any more. After a boot before the first ADD, and a few at a time
//! whenever a shim runs and a namespace has been gone for long.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use manifold_cni::{CniError, ContainerId, code};

use crate::outcome;
use crate::shim::Shim;
use crate::undo::{self, Undone};
use manifold_ledger::{BootId, BootSweep, Ledger, Opened, SandboxLock, Uptime};

/// How long an ADD waits for the boot's sweep.
const BOOT_WAIT: Duration = Duration::from_secs(30);
/// Entries swept at the same time after a boot.
const AT_ONCE: usize = 8;
/// What the idle sweep may take of a call.
const IDLE_TIME: Duration = Duration::from_secs(2);

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
            let work = || {
                while let Some(id) = sweeper.stale.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(shim, ledger, id, deadline);
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
            Err(CniError::new(code::TRY_AGAIN, msg).details("fix: none needed, the runtime tries again"))
        }
    }
}

fn one(shim: &Shim, ledger: &Ledger, id: &ContainerId, deadline: Instant) {
    match ledger.lock(id, deadline) {
        Ok(lock) => locked(shim, ledger, &lock, deadline + shim.config.limits.delegate),
        Err(e) => tracing::warn!(container = %id, "not swept: {e}"),
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

/// At most once a minute, at most four entries or two seconds, by whichever call comes by.
pub fn idle(shim: &Shim, ledger: &Ledger) {
    let Ok(boot) = boot_id() else { return };
    let Some(pass) = ledger.idle_pass(&boot, Uptime::now()) else { return };
    let deadline = Instant::now() + IDLE_TIME;
    for lock in pass.candidates(deadline) {
        locked(shim, ledger, &lock, Instant::now() + shim.config.limits.delegate);
        if Instant::now() >= deadline {
            return;
        }
    }
}
