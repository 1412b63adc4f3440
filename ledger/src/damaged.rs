//! Entries that cannot be used: set aside under another name, counted, and an error for ever after.
//!
//! `.damaged/<container id>@<number>-<failures>-<first>-<last>`. The counts stand in the name, because a rename needs
//! no new space and the file itself stays as it was found. Number 0 is an empty file that carries a count alone: nothing was
//! set aside, because the entry lies under its own name and could not be read then. It says nothing of what was done, and goes
//! with the entry.

use std::collections::BTreeSet;
use std::path::PathBuf;

use manifold_cni::ContainerId;
use nix::errno::Errno;

use super::codec::Fault;
use super::folder::{Folder, Lies};
use super::{Failures, Ledger, LedgerError, Opened, Unreadable, Uptime};

pub(super) const FOLDER: &str = ".damaged";

/// One file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub container: ContainerId,
    pub number: u32,
    pub failures: Option<Failures>,
}

impl Damaged {
    fn parse(name: &str) -> Option<Self> {
        let (container, rest) = name.split_once('@')?;
        let mut numbers = rest.split('-');
        let mut next = || numbers.next()?.parse::<u64>().ok();
        let (number, count, first, last) = (next()?, next()?, next()?, next()?);
        let count = u32::try_from(count).ok()?;
        let failures = (count > 0).then_some(Failures { count, first: Uptime(first), last: Uptime(last) });
        let whole = numbers.next().is_none();
        whole.then_some(Self {
            container: container.parse().ok()?,
            number: u32::try_from(number).ok()?,
            failures,
        })
    }

    pub(super) fn name(&self) -> String {
        let f = self.failures.unwrap_or(Failures { count: 0, first: Uptime(0), last: Uptime(0) });
        format!("{}@{}-{}-{}-{}", self.container, self.number, f.count, f.first.0, f.last.0)
    }
}

impl Ledger {
    /// All that was set aside, for events and metrics.
    pub fn damaged(&self) -> Vec<Damaged> {
        let Ok(Some(folder)) = self.folder.sub(FOLDER, false) else { return Vec::new() };
        all(&folder).unwrap_or_default()
    }

    /// One more DEL that could not be done for want of a readable entry. `None`: not even this could be noted, so
    /// the sandbox is not parked and the runtime goes on hearing of it.
    pub fn note_damaged_failure(&self, id: &ContainerId, now: Uptime) -> Option<Failures> {
        let folder = self.folder.sub(FOLDER, true).ok()??;
        let known = newest(&folder, id).ok()?;
        let failures = Failures::after(known.as_ref().and_then(|d| d.failures), now);
        match known {
            Some(old) => {
                let new = Damaged { failures: Some(failures), ..old.clone() };
                folder.rename(&old.name(), &new.name()).ok()?;
            }
            // Nothing was set aside (it is no file of ours): an empty file carries the count.
            None => {
                let new = Damaged { container: id.clone(), number: 0, failures: Some(failures) };
                folder.create_new(&new.name()).ok()?;
            }
        }
        Some(failures)
    }

    /// Forgets damaged entries of sandboxes that GC's list lacks, once DEL has given up on them: the runtime asked for it
    /// several times and was answered with success in the end, so it does not ask again. One that no DEL was asked for
    /// may be another runtime's, and stays.
    pub fn forget_parked_damaged(
        &self,
        is_alive: impl Fn(&ContainerId) -> bool,
        now: Uptime,
    ) -> Result<Vec<ContainerId>, LedgerError> {
        let is_parked = |one: &Damaged| one.failures.is_some_and(|failures| failures.is_parked(now));
        let dead = self.damaged().into_iter().filter(|one| is_parked(one) && !is_alive(&one.container));
        let dead: BTreeSet<ContainerId> = dead.map(|one| one.container).collect();
        dead.iter().try_for_each(|id| self.forget_damaged(id))?;
        Ok(dead.into_iter().collect())
    }

    /// Ends the error of one sandbox.
    pub(super) fn forget_damaged(&self, id: &ContainerId) -> Result<(), LedgerError> {
        self.forget_marks(id, |_| true)
    }

    /// The entry was read after all, and all that it says is undone: how often it could not be read before is over.
    pub(super) fn forget_counts(&self, id: &ContainerId) -> Result<(), LedgerError> {
        self.forget_marks(id, |one| one.number == 0)
    }

    fn forget_marks(&self, id: &ContainerId, which: impl Fn(&Damaged) -> bool) -> Result<(), LedgerError> {
        let Some(folder) = self.folder.sub(FOLDER, false)? else { return Ok(()) };
        let marks = all(&folder).map_err(|e| folder.error("list", "", e))?;
        for one in marks.into_iter().filter(|d| d.container == *id && which(d)) {
            match folder.unlink(&one.name()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(e) => return Err(folder.error("remove", &one.name(), e)),
            }
        }
        Ok(())
    }

    /// The sandbox has no entry under its name. If one was set aside it is still no "nothing to do"; and where nobody can
    /// tell whether one was, neither.
    pub(super) fn open_set_aside(&self, id: &ContainerId) -> Result<Option<Opened>, Unreadable> {
        let refused = |e: Errno| unreadable(id, Fault::Io(Some(e as i32)), None, None);
        let folder = match self.folder.sub(FOLDER, false) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(None),
            Err(e) => return Err(unreadable(id, Fault::io(&e.source), None, None)),
        };
        let Some(known) = newest(&folder, id).map_err(refused)?.filter(|known| known.number > 0) else {
            return Ok(None);
        };
        let path = folder.path().join(known.name());
        let fault = match self.take_back(&folder, &known) {
            Ok(opened) => {
                tracing::info!(container = %id, "a ledger entry that was set aside is readable and in use again");
                return Ok(Some(opened));
            }
            Err(fault) if fault.may_pass() => fault,
            Err(_) => Fault::SetAside,
        };
        Err(unreadable(id, fault, Some(path), known.failures))
    }

    /// Moves a file back if this release can read it, and opens it.
    fn take_back(&self, folder: &Folder, known: &Damaged) -> Result<Opened, Fault> {
        let refused = |e: Errno| Fault::Io(Some(e as i32));
        let Lies::Ours(mut file) = folder.look(&known.name()).map_err(refused)? else {
            return Err(Fault::SetAside);
        };
        if super::store::decode_steadily(&mut file)?.entry.container != known.container {
            return Err(Fault::SetAside);
        }
        folder.rename_into(&known.name(), &self.folder, known.container.as_str()).map_err(refused)?;
        self.load(&known.container)?.ok_or(Fault::SetAside)
    }

    /// Says why an entry cannot be used, and sets it aside if it is damaged.
    pub(super) fn unreadable(&self, id: &ContainerId, fault: Fault) -> Unreadable {
        let movable = fault.is_damage();
        let folder = self.folder.sub(FOLDER, movable).ok().flatten();
        let marks = folder.as_ref().map(|f| newest(f, id));
        // Without the marks nobody knows which number is free, and an older file would be lost.
        let movable = movable && matches!(marks, Some(Ok(_)));
        let known = marks.and_then(Result::ok).flatten();
        let failures = known.as_ref().and_then(|d| d.failures);
        let aside = folder.filter(|_| movable).and_then(|f| self.set_aside(id, &f, known.as_ref()));
        tracing::error!(container = %id, %fault, aside = ?aside, "a ledger entry cannot be used");
        unreadable(id, fault, aside, failures)
    }

    fn set_aside(&self, id: &ContainerId, folder: &Folder, known: Option<&Damaged>) -> Option<PathBuf> {
        let number = known.map_or(0, |d| d.number).saturating_add(1);
        let new = Damaged { container: id.clone(), number, failures: known.and_then(|d| d.failures) };
        self.folder.rename_into(id.as_str(), folder, &new.name()).ok()?;
        Some(folder.path().join(new.name()))
    }
}

fn unreadable(
    id: &ContainerId,
    fault: Fault,
    aside: Option<PathBuf>,
    failures: Option<Failures>,
) -> Unreadable {
    Unreadable { container: id.clone(), fault, aside, failures }
}

fn all(folder: &Folder) -> Result<Vec<Damaged>, Errno> {
    Ok(folder.names()?.iter().filter_map(|n| Damaged::parse(n.to_str()?)).collect())
}

fn newest(folder: &Folder, id: &ContainerId) -> Result<Option<Damaged>, Errno> {
    Ok(all(folder)?.into_iter().filter(|d| d.container == *id).max_by_key(|d| d.number))
}
