//! Takes the attachments of a sandbox down, as its entry says. A failed ADD, DEL, GC and the sweeps all end here.
//!
//! Asks nobody: plugins, bytes and order are in the entry. Networks are taken down at the same time, each list in its
//! own reverse order: removing a link makes its caller wait about 20 ms for the kernel, and such waits overlap. Only bonds
//! come before all others: a bond is told by its members, and lets go of them while they are there.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manifold_cni::{CniError, code};

use crate::chain::{Chain, Setting};
use crate::shim::Shim;
use crate::{amend, at_once};
use manifold_ledger::netns_id::Now;
use manifold_ledger::{Entry, Failures, Ledger, Pen, Recorded, SandboxLock, Stage, State, Uptime};

/// What the system does not have it refuses without a wait.
const REFUSED_AT_ONCE: Duration = Duration::from_secs(1);

/// Nothing is left, or what is left and why.
#[derive(Debug)]
pub enum Undone {
    Clean,
    Left(CniError),
}

/// Undoes everything that the entry still owes. When all of it is gone the entry goes too, else it stays with what is
/// left. `netns` is what the caller believes; another namespace at that path is not touched (F-POD-8).
pub fn undo(
    shim: &Shim,
    ledger: &Ledger,
    lock: &SandboxLock,
    entry: &mut Entry,
    pen: &mut Pen,
    deadline: Instant,
) -> Undone {
    let netns = living_netns(entry);
    entry.stage = Stage::Deleting;
    let (owing, bonds) = order(entry);
    for n in &owing {
        if let Some(attachment) = entry.attachments.get_mut(*n) {
            attachment.state = State::Detaching;
        }
    }
    note(pen.mark(entry));
    let setting = Setting {
        container: &entry.container,
        folders: &shim.folders,
        deadline,
        each: shim.config.limits.delegate,
        held: held(lock),
        ledger: Some(ledger),
    };
    let (bonds, others) = owing.split_at(bonds);
    let take_down = |wave| take_down(ledger, entry, wave, &setting, netns.as_deref());
    let down: Vec<Down> = [bonds, others].into_iter().flat_map(take_down).collect();
    settle(ledger, entry, pen, &owing, down)
}

/// What is still owed, last first and bonds before all others, and how many bonds that are.
fn order(entry: &Entry) -> (Vec<usize>, usize) {
    let is_bond = |attachment: &Recorded| attachment.plugins.iter().any(|p| p.kind.as_str() == "bond");
    let mut owing: Vec<(usize, bool)> = entry.owing().map(|(n, a)| (n, is_bond(a))).collect();
    owing.sort_by_key(|(_, bond)| !bond);
    let bonds = owing.iter().filter(|(_, bond)| *bond).count();
    (owing.into_iter().map(|(n, _)| n).collect(), bonds)
}

/// A duplicate of the lock's descriptor, for executed plugins to inherit.
pub(crate) fn held(lock: &SandboxLock) -> Option<Arc<OwnedFd>> {
    lock.as_fd().try_clone_to_owned().ok().map(Arc::new)
}

/// The namespace of ADD, if it is still there.
fn living_netns(entry: &Entry) -> Option<PathBuf> {
    let netns = entry.netns.as_ref()?;
    let gone = netns.id.is_some_and(|id| id.check(&netns.path) == Now::Gone);
    (!gone && netns.path.try_exists().unwrap_or(true)).then(|| netns.path.clone())
}

/// What became of one network.
struct Down {
    error: Option<CniError>,
    took: Duration,
}

impl Down {
    /// Refused at once for want of a thread, a process, a descriptor or memory: networks that are taken down at the same time
    /// need more of these than one after the other. Who waited in vain did that for something else.
    fn lacked_something(&self) -> bool {
        self.took < REFUSED_AT_ONCE && self.error.as_ref().is_some_and(|error| error.code == code::TRY_AGAIN)
    }
}

/// Each network at the same time, where the node lets us.
fn take_down(
    ledger: &Ledger,
    entry: &Entry,
    wave: &[usize],
    setting: &Setting<'_>,
    netns: Option<&Path>,
) -> Vec<Down> {
    let error = |n: &usize| -> Option<CniError> {
        let recorded = entry.attachments.get(*n)?;
        let done = Chain::of(recorded, setting).and_then(|chain| chain.del(netns));
        let done = done.or_else(|error| match amend::del(ledger, entry, recorded, setting, netns) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(error),
        });
        forget_device_file(recorded.device_info_file.as_deref());
        done.err().map(|e| place(e, &recorded.display, recorded.ifname.as_str()))
    };
    let one = |n: &usize| {
        let began = Instant::now();
        Down { error: error(n), took: began.elapsed() }
    };
    let panicked = |error| Down { error: Some(error), took: Duration::ZERO };
    let down = at_once::each(wave, one, panicked);
    if wave.len() < 2 {
        return down;
    }
    let again = |(n, down): (&usize, Down)| if down.lacked_something() { one(n) } else { down };
    wave.iter().zip(down).map(again).collect()
}

fn settle(ledger: &Ledger, entry: &mut Entry, pen: &mut Pen, owing: &[usize], down: Vec<Down>) -> Undone {
    for (n, Down { error, took }) in owing.iter().zip(&down) {
        if let (Some(attachment), None) = (entry.attachments.get_mut(*n), error) {
            attachment.state = State::Detached;
            attachment.took = Some(*took);
        }
    }
    let Some(error) = all_of(down.into_iter().filter_map(|down| down.error)) else {
        return match ledger.remove(&entry.container) {
            Ok(()) => Undone::Clean,
            // All is gone but the note of it: the next DEL finds nothing to do and tries again.
            Err(e) => Undone::Left(e.into()),
        };
    };
    entry.failures = Some(Failures::after(entry.failures, Uptime::now()));
    note(pen.mark(entry));
    Undone::Left(error)
}

/// All errors as one: the code of the first, every sentence.
pub fn all_of(errors: impl Iterator<Item = CniError>) -> Option<CniError> {
    errors.reduce(|mut all, next| {
        let gap = if all.details.is_empty() { "" } else { "; " };
        all.details = format!("{}{gap}also: {next}", all.details);
        all
    })
}

fn place(mut error: CniError, display: &str, ifname: &str) -> CniError {
    let gap = if error.details.is_empty() { "" } else { "; " };
    error.details = format!("network `{display}`, interface `{ifname}`{gap}{}", error.details);
    error
}

pub(crate) fn forget_device_file(path: Option<&Path>) {
    if let Some(path) = path
        && let Err(e) = std::fs::remove_file(path)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), "the device information file stays: {e}");
    }
}

/// States in the ledger only save work later: where writing them fails, DEL does more than it had to.
fn note(written: Result<(), manifold_ledger::LedgerError>) {
    if let Err(e) = written {
        tracing::warn!("{e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    // Shows part of: P-DEL-7
    #[test]
    fn bonds_come_before_all_others_and_each_kind_last_first() {
        let kinds = ["bridge", "macvlan", "bond", "sriov", "bond", "macvlan"];
        let attachment = |(n, kind): (usize, &&str)| sample::recorded("n", &format!("net{n}"), kind);
        let mut entry = sample::entry("c1", kinds.iter().enumerate().map(attachment).collect());
        assert_eq!(order(&entry), (vec![4, 2, 5, 3, 1, 0], 2));
        for gone in [4, 5] {
            entry.attachments[gone].state = State::Detached;
        }
        assert_eq!(order(&entry), (vec![2, 3, 1, 0], 1));
    }
}
