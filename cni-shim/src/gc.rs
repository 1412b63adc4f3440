//! GC: the runtime tells what is alive; everything else of this configuration is cleared, for every network.

mod living;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use manifold_cni::{AttachmentId, CniError, ContainerId, code};

use crate::chain::{Chain, Setting};
use crate::shim::Shim;
use crate::undo::{self, Undone};
use crate::{default_network, outcome, sweep};
use living::Living;
use manifold_ledger::{Entry, Ledger, LockError, Opened, Recorded, Stage, Uptime};

/// Pods of the network wait meanwhile.
const MOST_OF_ONE_PLUGIN: Duration = Duration::from_secs(10);

pub fn gc(shim: &Shim) -> Result<(), CniError> {
    let version = shim.config.cni_version;
    if !version.has_gc() {
        let msg = format!("config version `{version}` does not support the GC command; it needs 1.1.0");
        return Err(CniError::new(code::INCOMPATIBLE_VERSION, msg));
    }
    // Without a list nobody said what is alive, so nothing may be cleared (F-RUN-6).
    let Some(alive) = shim.config.valid_attachments()? else { return Ok(()) };
    let began = Uptime::now();
    let boot = sweep::boot_id()?;
    let deadline = shim.add_deadline();
    let ledger = Ledger::open(&shim.config.state_dir)?;
    if let Some(_alone) = ledger.own_node()? {
        ledger.remove_unfinished_writes();
    }
    ledger.remove_idle_locks();
    let before = readable(&ledger)?;
    // An ADD may have ended after the runtime made its list. Its DEL comes, or the next GC.
    let (young, judged): (Vec<&Entry>, Vec<&Entry>) =
        before.iter().partition(|entry| entry.is_younger_than_list(&boot, began));
    for entry in young {
        tracing::debug!(container = %entry.container, "skipped because it may be newer than the runtime's list");
    }
    let mut errors = clear_dead(shim, &ledger, &alive, &judged, deadline);
    errors.extend(tell_plugins(shim, &ledger, &alive, &before, deadline)?);
    if errors.is_empty() {
        forget_damaged(&ledger, &alive)?;
    }
    undo::all_of(errors.into_iter()).map_or(Ok(()), Err)
}

/// Every entry that can be read; the others are reported by whoever deletes them. Where the system only refuses to read one
/// now, nobody knows what is in use, and nothing may be cleared.
fn readable(ledger: &Ledger) -> Result<Vec<Entry>, CniError> {
    let mut entries = Vec::new();
    for id in ledger.entries()? {
        match ledger.read(&id) {
            Ok(entry) => entries.extend(entry),
            Err(e) if e.fault.may_pass() => return Err(e.into()),
            Err(e) => tracing::warn!("{e}"),
        }
    }
    Ok(entries)
}

/// Sandboxes of this configuration name that the runtime no longer knows. Another runtime's pods on the node have
/// entries of another name and are not its business.
fn clear_dead(
    shim: &Shim,
    ledger: &Ledger,
    alive: &[AttachmentId],
    entries: &[&Entry],
    deadline: Instant,
) -> Vec<CniError> {
    let containers: BTreeSet<&str> = alive.iter().map(|a| a.container.as_str()).collect();
    let dead = |e: &&&Entry| e.config_name == shim.config.name && !containers.contains(e.container.as_str());
    let mut errors = Vec::new();
    for entry in entries.iter().filter(dead) {
        if Instant::now() >= deadline {
            errors.push(out_of_time());
            break;
        }
        errors.extend(clear(shim, ledger, entry, deadline).err());
    }
    errors
}

/// A plugin that is called after the end would be stopped, and its failure counted, at once.
fn out_of_time() -> CniError {
    CniError::new(code::TRY_AGAIN, "GC did not reach every sandbox and network in time")
        .details("fix: none needed; the runtime calls GC again")
}

/// A sandbox that a call works on is passed over, and so is one whose ADD has ended since: the list cannot know of it.
fn clear(shim: &Shim, ledger: &Ledger, seen: &Entry, deadline: Instant) -> Result<(), CniError> {
    let id = &seen.container;
    let Some(lock) = ledger.lock_now(id, shim.config.limits.delegate) else { return Ok(()) };
    let Some(Opened { mut entry, mut pen, .. }) = ledger.open_entry(id)? else { return Ok(()) };
    if seen.stage == Stage::Adding && entry.stage == Stage::Complete {
        return Ok(());
    }
    let began = Instant::now();
    let done = undo::undo(shim, ledger, &lock, &mut entry, &mut pen, deadline);
    outcome::note(shim, began, outcome::of_undo(&entry, &done, false));
    match done {
        Undone::Clean => Ok(()),
        Undone::Left(error) => Err(error),
    }
}

/// Whatever a damaged entry left that GC can find is gone by now, so its mark ends too.
fn forget_damaged(ledger: &Ledger, alive: &[AttachmentId]) -> Result<(), CniError> {
    let is_alive = |id: &ContainerId| alive.iter().any(|attachment| attachment.container == id.as_str());
    for id in ledger.forget_parked_damaged(is_alive, Uptime::now())? {
        tracing::info!(container = %id, "the damaged ledger entry of a sandbox that is gone is removed");
    }
    Ok(())
}

/// GC of every network that any entry knew, and of the default network, with what is alive of each.
fn tell_plugins(
    shim: &Shim,
    ledger: &Ledger,
    alive: &[AttachmentId],
    before: &[Entry],
    deadline: Instant,
) -> Result<Vec<CniError>, CniError> {
    let default = default_network::on_disk(shim, &default_network::Asker::nobody()).ok().flatten();
    let mut told = BTreeSet::new();
    let mut errors = Vec::new();
    let known = before.iter().flat_map(|e| &e.attachments).chain(default.as_ref());
    for network in known {
        // Equal names may hide different plugins, so the chain decides too.
        let chain: Vec<_> =
            network.plugins.iter().map(|p| (p.kind.clone(), p.config.as_slice().to_vec())).collect();
        if Instant::now() >= deadline {
            errors.push(out_of_time());
            break;
        }
        if told.insert((network.network.clone(), chain)) {
            errors.extend(alone(shim, ledger, alive, default.as_ref(), network, deadline).err());
        }
    }
    Ok(errors)
}

/// GC of one network, while no ADD and DEL of it runs: nothing can be attached that the list of the living lacks.
fn alone(
    shim: &Shim,
    ledger: &Ledger,
    alive: &[AttachmentId],
    default: Option<&Recorded>,
    network: &Recorded,
    deadline: Instant,
) -> Result<(), CniError> {
    let _alone = ledger.own_network(&network.network).map_err(|e| gave_way(e, network))?;
    let entries = readable(ledger)?;
    let living = Living::of(shim, ledger, &entries, alive, default);
    let keep = living.keep(network)?;
    tell(shim, network, &keep, deadline)
}

fn gave_way(e: LockError, network: &Recorded) -> CniError {
    let LockError::Busy { seconds, .. } = e else { return e.into() };
    let msg = format!(
        "network `{}` is not cleared: an ADD or DEL of it still ran after {seconds} s, so GC skipped it",
        network.display
    );
    CniError::new(code::TRY_AGAIN, msg).details("fix: none needed; the runtime calls GC again")
}

fn tell(shim: &Shim, network: &Recorded, keep: &[AttachmentId], deadline: Instant) -> Result<(), CniError> {
    let nobody: ContainerId = "gc".parse().map_err(|e| CniError::failed(format!("{e}")))?;
    let setting = Setting {
        container: &nobody,
        folders: &shim.folders,
        deadline,
        each: shim.config.limits.delegate.min(MOST_OF_ONE_PLUGIN),
        held: None,
        ledger: None,
    };
    Chain::of(network, &setting)?.gc(keep)
}
