//! Entries that nobody will DEL any more: the runtime forgot the sandbox, or its DEL kept failing (F-RUN-7).
//!
//! Whichever shim runs looks at most once a minute. Decided here is which entries are due; the undo is that of a process of
//! its own, as a runtime waits for its call to end.

use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use manifold_cni::ContainerId;

use super::flock::{How, Waited, lock_until, try_lock};
use super::folder::write_at;
use super::lock::fixed_file;
use super::{BootId, Entry, Ledger, Uptime};
use crate::netns_id::Now;

pub const EVERY_SECONDS: u64 = 60;
/// A namespace must have been gone this long.
pub const GONE_SECONDS: u64 = 600;
pub const RETRY_PARKED_SECONDS: u64 = 3600;
pub const AT_MOST: usize = 4;

/// What is to happen with an entry in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Leave,
    /// First seen without its namespace: remember when.
    NoteGone,
    /// The namespace is there after all.
    NoteBack,
    Undo,
}

/// Decides; touches nothing.
pub fn judge(entry: &Entry, boot: &BootId, netns: Now, now: Uptime) -> Verdict {
    if entry.is_parked(now) {
        let since = entry.failures.map_or(0, |f| now.since(f.last));
        return if since >= RETRY_PARKED_SECONDS { Verdict::Undo } else { Verdict::Leave };
    }
    // Left over by the boot sweep because its undo failed.
    if entry.boot != *boot {
        return Verdict::Undo;
    }
    match (netns, entry.netns_gone) {
        (Now::Gone, None) => Verdict::NoteGone,
        (Now::Gone, Some(since)) if now.since(since) >= GONE_SECONDS => Verdict::Undo,
        (Now::Same, Some(_)) => Verdict::NoteBack,
        _ => Verdict::Leave,
    }
}

/// The namespace of an entry as it is now; one that was recorded without identity cannot be told.
pub fn netns_now(entry: &Entry) -> Now {
    match &entry.netns {
        Some(netns) => netns.id.map_or(Now::Unknown, |id| id.check(&netns.path)),
        None => Now::Unknown,
    }
}

/// The right to this minute's pass.
#[derive(Debug)]
pub struct IdlePass {
    _only_one: File,
    ledger: Ledger,
    boot: BootId,
    now: Uptime,
}

const FILE: &str = ".idle";

impl Ledger {
    /// `None`: it was done within the last minute, another call is at it, or the disk takes no note of it.
    pub fn idle_pass(&self, boot: &BootId, now: Uptime) -> Option<IdlePass> {
        let file = fixed_file(&self.folder, FILE).ok()?;
        let file = try_lock(file, How::Exclusive).ok()?.ok()?;
        if !is_due(&file, boot, now) {
            return None;
        }
        write_at(&file, FILE, format!("{:012} {boot}\n", now.0).as_bytes(), 0).ok()?;
        Some(IdlePass { _only_one: file, ledger: self.clone(), boot: boot.clone(), now })
    }
}

fn is_due(mut file: &File, boot: &BootId, now: Uptime) -> bool {
    let mut text = String::new();
    if file.read_to_string(&mut text).is_err() {
        return true;
    }
    let last = text.lines().next().and_then(|l| l.split_once(' '));
    let same_boot = last.filter(|(_, b)| *b == boot.as_str()).and_then(|(t, _)| t.parse().ok());
    same_boot.is_none_or(|t| now.since(Uptime(t)) >= EVERY_SECONDS || now < Uptime(t))
}

impl IdlePass {
    /// Entries to undo now, at most [`AT_MOST`]: those that never failed, then those that failed longest ago. Sandboxes that
    /// somebody works on are passed over. Looks until `deadline`. `most` is how long a plugin may run.
    pub fn candidates(&self, deadline: Instant, most: Duration) -> Vec<ContainerId> {
        self.ledger.remove_old_unfinished_writes();
        // The other half of the time is for those that are found.
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        let ids = self.ledger.entries().unwrap_or_default();
        let read = ids.into_iter().take_while(|_| Instant::now() + half < deadline);
        let mut found: Vec<(Option<Uptime>, ContainerId)> =
            read.filter_map(|id| self.last_failure(&id).map(|last| (last, id))).collect();
        found.sort();
        let in_time = found.into_iter().map(|(_, id)| id).take_while(|_| Instant::now() < deadline);
        in_time.filter(|id| self.is_due(id, most)).take(AT_MOST).collect()
    }

    /// When it last failed, if there is anything to do with it. Most are left alone, and need no lock for that.
    fn last_failure(&self, id: &ContainerId) -> Option<Option<Uptime>> {
        let Ok(Some(seen)) = self.ledger.load(id) else { return Some(None) };
        let is_left = judge(&seen.entry, &self.boot, netns_now(&seen.entry), self.now) == Verdict::Leave;
        (!is_left).then(|| seen.entry.failures.map(|failures| failures.last))
    }

    fn is_due(&self, id: &ContainerId, most: Duration) -> bool {
        let judge = |entry: &Entry| judge(entry, &self.boot, netns_now(entry), self.now);
        let Ok(Some(_lock)) = self.ledger.lock_unless_in_call(id, false, most) else { return false };
        let Ok(Some(mut opened)) = self.ledger.open_entry(id) else { return false };
        let entry = &mut opened.entry;
        match judge(entry) {
            Verdict::Leave => return false,
            Verdict::Undo => return true,
            Verdict::NoteGone => entry.netns_gone = Some(self.now),
            Verdict::NoteBack => entry.netns_gone = None,
        }
        // Not noted is noted next minute.
        let _ = opened.pen.mark(&opened.entry);
        false
    }
}

/// For as long as it is held, no pass begins.
#[derive(Debug)]
pub struct IdleHold(#[expect(dead_code, reason = "held, not read")] File);

impl Ledger {
    /// For the process that undoes what a pass found. `None`: another is at it.
    pub fn hold_idle(&self, deadline: Instant) -> Option<IdleHold> {
        let file = fixed_file(&self.folder, FILE).ok()?;
        match lock_until(file, How::Exclusive, deadline).ok()? {
            Waited::Locked(file) => Some(IdleHold(file)),
            Waited::Busy => None,
        }
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
