//! DEL: undoes by the entry. Needs no API server, no definition and no netns, and may come twice.

use std::time::Instant;

use manifold_cni::{CniError, Detachment};

use crate::claim::{self, NotHad, Running};
use crate::shim::Shim;
use crate::undo::{self, Undone};
use crate::{outcome, places, sweep, takeover, unrecorded};
use manifold_ledger::gate::Gate;
use manifold_ledger::{Failures, Ledger, Opened, SandboxLock, Unreadable, Uptime};

pub fn del(shim: &Shim, at: &Detachment) -> Result<(), CniError> {
    let Some(ledger) = Ledger::open_existing(&shim.config.state_dir)? else {
        return unrecorded::del(shim, at, None);
    };
    // Before the gate: who waits for an ADD to give way holds no place meanwhile.
    let wait = Instant::now() + Shim::LOCK_WAIT;
    let done = match claim::lock(shim, &ledger, &at.container, Running::Cancel, wait) {
        Ok(lock) => locked(shim, &ledger, &lock, at),
        Err(NotHad { error, by_a_call: true }) => Err(error),
        Err(NotHad { error, .. }) => not_had(shim, &ledger, at, error),
    };
    sweep::idle(shim, &ledger);
    done
}

fn locked(shim: &Shim, ledger: &Ledger, lock: &SandboxLock, at: &Detachment) -> Result<(), CniError> {
    let enter = |networks: &[places::Network<'_>]| {
        places::enter(shim, Gate::Del, networks, Instant::now() + Gate::PATIENCE, &|| Ok(()))
    };
    match ledger.open_entry(&at.container) {
        Ok(Some(Opened { mut entry, mut pen, flaws })) => {
            flaws
                .iter()
                .for_each(|flaw| tracing::warn!(%flaw, "the ledger entry is damaged; its plan is whole"));
            let _place = enter(&places::of(&entry))?;
            let whole = Instant::now() + shim.config.limits.add;
            let done = undo::undo(shim, ledger, lock, &mut entry, &mut pen, whole);
            let parked = entry.is_parked(Uptime::now());
            outcome::note(shim, shim.began, outcome::of_undo(&entry, &done, parked));
            answer(done, parked)
        }
        Ok(None) => {
            let left = takeover::networks(shim, &at.container, &at.ifname).unwrap_or_default();
            let further: Vec<_> = left.iter().skip(1).map(|(network, _)| (network.as_str(), false)).collect();
            let _place = enter(&further)?;
            unrecorded::del(shim, at, Some(lock))
        }
        Err(unreadable) => {
            let _place = enter(&[])?;
            by_id(shim, ledger, lock, at, unreadable)
        }
    }
}

/// A killed call has the lock still, through processes that it started. Nobody of ours writes the entry then, so this
/// failure is counted like any other: otherwise the pod would never go (F-RUN-9).
fn not_had(shim: &Shim, ledger: &Ledger, at: &Detachment, error: CniError) -> Result<(), CniError> {
    let Ok(Some(Opened { mut entry, mut pen, .. })) = ledger.open_entry(&at.container) else {
        return Err(error);
    };
    let now = Uptime::now();
    entry.failures = Some(Failures::after(entry.failures, now));
    if let Err(e) = pen.mark(&entry) {
        tracing::warn!("{e}");
    }
    let (done, parked) = (Undone::Left(error), entry.is_parked(now));
    outcome::note(shim, shim.began, outcome::of_undo(&entry, &done, parked));
    answer(done, parked)
}

/// A parked entry has failed often and long enough: the pod may go, and the sweep keeps trying (P-DEL-6).
fn answer(done: Undone, parked: bool) -> Result<(), CniError> {
    match done {
        Undone::Clean => Ok(()),
        Undone::Left(error) if parked => {
            tracing::error!("the sandbox is released; the rest is retried every hour: {error}");
            Ok(())
        }
        Undone::Left(error) => Err(error),
    }
}

/// What was done cannot be read: the default network is taken down by the container id, and the error stays until the
/// entry is parked. This is never "nothing to do" (F-DSK-3). Where the system only refuses to read it now, the next DEL undoes
/// all of it, in its order; it is counted too, as a disk may refuse for ever.
fn by_id(
    shim: &Shim,
    ledger: &Ledger,
    lock: &SandboxLock,
    at: &Detachment,
    unreadable: Unreadable,
) -> Result<(), CniError> {
    let now = Uptime::now();
    let failures = ledger.note_damaged_failure(&at.container, now).or(unreadable.failures);
    let parked = failures.is_some_and(|f| f.is_parked(now));
    if unreadable.fault.may_pass() && !parked {
        return Err(unreadable.into());
    }
    let tried = unrecorded::del(shim, at, Some(lock)).err();
    let all = undo::all_of([CniError::from(unreadable)].into_iter().chain(tried));
    answer(all.map_or(Undone::Clean, Undone::Left), parked)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use manifold_cni::{CniArgs, ContainerId};

    use super::*;
    use crate::sample;

    // Shows part of: F-RUN-3
    #[test]
    fn an_add_has_time_to_give_way_however_late_del_comes_to_it() {
        let state = tempfile::tempdir().unwrap();
        let mut shim = sample::shim(state.path());
        shim.began = Instant::now().checked_sub(Shim::LOCK_WAIT + Duration::from_secs(5)).unwrap();
        let container: ContainerId = "c1".parse().unwrap();
        let lock = Ledger::open(state.path()).unwrap().lock(&container, Instant::now()).unwrap();
        std::thread::spawn(move || {
            while !lock.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            // It undoes itself.
            std::thread::sleep(Duration::from_millis(300));
            drop(lock);
        });
        let at =
            Detachment { container, netns: None, ifname: "eth0".parse().unwrap(), args: CniArgs::default() };
        del(&shim, &at).unwrap();
    }
}
