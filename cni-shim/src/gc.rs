//! GC: the runtime tells what is alive; everything else of this configuration is cleared, for every network.

mod living;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use manifold_cni::{AttachmentId, CniError, ContainerId, code};

use crate::apart::{self, Why};
use crate::chain::{Chain, Setting};
use crate::hung::Hung;
use crate::shim::Shim;
use crate::{default_network, sweep, undo};
use living::Living;
use manifold_ledger::{Entry, Ledger, LockError, Recorded, Stage, Uptime};

/// The command by which a process is started that clears one network; after it the milliseconds that it has.
pub const NETWORK: &str = "gc-network";
/// Where its configuration has the network.
const NETWORK_KEY: &str = "manifold.network/gc";
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
    let hung = Hung::default();
    // Sandboxes that hang must leave time for the networks.
    let mut errors =
        clear_dead(shim, &ledger, &alive, &judged, &hung, shim.began + shim.config.limits.add / 2);
    errors.extend(tell_plugins(shim, &ledger, &alive, &before, &hung, deadline));
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
    hung: &Hung,
    deadline: Instant,
) -> Vec<CniError> {
    let containers: BTreeSet<&str> = alive.iter().map(|a| a.container.as_str()).collect();
    let is_dead =
        |e: &&&Entry| e.config_name == shim.config.name && !containers.contains(e.container.as_str());
    let mut dead: Vec<&&Entry> = entries.iter().filter(is_dead).collect();
    // What failed before comes last, and of that what failed longest ago first.
    dead.sort_by_key(|entry| entry.failures.map(|failures| failures.last));
    let mut errors = Vec::new();
    for entry in dead {
        let Some(left) = left(deadline) else {
            errors.push(out_of_time());
            break;
        };
        errors.extend(clear(shim, ledger, entry, hung, left).err());
    }
    errors
}

/// A plugin that is called after the end would be stopped, and its failure counted, at once.
fn left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

fn out_of_time() -> CniError {
    CniError::new(code::TRY_AGAIN, "GC did not reach every sandbox and network in time")
        .details("fix: none needed; the runtime calls GC again")
}

/// A sandbox that a call works on is passed over, and so is one whose ADD has ended since: the list cannot know of it.
fn clear(shim: &Shim, ledger: &Ledger, seen: &Entry, hung: &Hung, left: Duration) -> Result<(), CniError> {
    let id = &seen.container;
    if let Some(network) = hung.owed_by(seen) {
        let msg = format!("sandbox `{id}` is not cleared now, as its network `{network}` hangs");
        return Err(
            CniError::new(code::TRY_AGAIN, msg).details("fix: none needed, the runtime calls GC again")
        );
    }
    let why = if seen.stage == Stage::Adding { Why::NotAliveInAdd } else { Why::NotAlive };
    let done = apart::undo(shim, ledger, id, why, left.min(shim.config.limits.delegate));
    if done.hung
        && let Ok(Some(left)) = ledger.read(id)
    {
        hung.extend(&left);
    }
    done.result
}

/// Whatever a damaged entry left that GC can find is gone by now, so its mark ends too.
fn forget_damaged(ledger: &Ledger, alive: &[AttachmentId]) -> Result<(), CniError> {
    let is_alive = |id: &ContainerId| alive.iter().any(|attachment| attachment.container == id.as_str());
    for id in ledger.forget_parked_damaged(is_alive, Uptime::now())? {
        tracing::info!(container = %id, "the damaged ledger entry of a sandbox that is gone is removed");
    }
    Ok(())
}

/// GC of every network that any entry knew, and of the default network, with what is alive of each. Each in a process of its
/// own, so that one that hangs ends no other's.
fn tell_plugins(
    shim: &Shim,
    ledger: &Ledger,
    alive: &[AttachmentId],
    before: &[Entry],
    hung: &Hung,
    deadline: Instant,
) -> Vec<CniError> {
    let default = of_node(shim);
    let mut told = BTreeSet::new();
    let mut errors = Vec::new();
    let mut known: Vec<&Recorded> =
        before.iter().flat_map(|e| &e.attachments).chain(default.as_ref()).collect();
    known.sort_by_key(|network| hung.contains(&network.display));
    for network in known {
        // Equal names may hide different plugins, so the chain decides too.
        let chain: Vec<_> =
            network.plugins.iter().map(|p| (p.kind.clone(), p.config.as_slice().to_vec())).collect();
        let Some(left) = left(deadline) else {
            errors.push(out_of_time());
            break;
        };
        if told.insert((network.network.clone(), chain)) {
            let here = |end| alone(shim, ledger, alive, default.as_ref(), network, end);
            let done = apart::in_process(&[NETWORK], &with_network(shim, network), left, here);
            errors.extend(done.result.err());
        }
    }
    errors
}

/// The default network, where the node's disk tells it.
fn of_node(shim: &Shim) -> Option<Recorded> {
    default_network::on_disk(shim, &default_network::Asker::nobody()).ok().flatten()
}

/// The configuration of the call with the network in it that the process is to clear.
fn with_network(shim: &Shim, network: &Recorded) -> Vec<u8> {
    let mut config = shim.config.raw().clone();
    config.set(NETWORK_KEY, network);
    config.to_vec()
}

/// What the other process does. `words` are those after [`NETWORK`].
pub(crate) fn one_network(shim: &Shim, words: &[&str]) -> Result<(), CniError> {
    let network: Option<Recorded> = shim.config.raw().get_as(NETWORK_KEY).map_err(|_| apart::bad_words())?;
    let ([milliseconds], Some(network)) = (words, network) else { return Err(apart::bad_words()) };
    let end = apart::end(shim, milliseconds)?;
    let alive = shim.config.valid_attachments()?.ok_or_else(apart::bad_words)?;
    let ledger = Ledger::open(&shim.config.state_dir)?;
    alone(shim, &ledger, &alive, of_node(shim).as_ref(), &network, end)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    // Shows part of: F-RUN-13
    #[test]
    fn nothing_is_begun_once_the_time_is_up() {
        let state = tempfile::tempdir().unwrap();
        let shim = sample::shim(state.path());
        let ledger = Ledger::open(state.path()).unwrap();
        let entry = sample::entry("c1", vec![sample::recorded("cluster", "eth0", "loopback")]);
        ledger.write(&entry).unwrap();
        let (hung, now) = (Hung::default(), Instant::now());
        let of_sandboxes = clear_dead(&shim, &ledger, &[], &[&entry], &hung, now);
        let of_networks = tell_plugins(&shim, &ledger, &[], std::slice::from_ref(&entry), &hung, now);
        for errors in [of_sandboxes, of_networks] {
            let [error] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(error.code, code::TRY_AGAIN);
            assert!(error.msg.contains("in time"), "{error}");
        }
        let left = ledger.read(&entry.container).unwrap().unwrap();
        assert_eq!((left.stage, left.failures), (Stage::Complete, None), "nobody was asked in vain");
    }
}
