//! Which processes hold the lock of a sandbox, and what becomes of a lock whose call was killed.
//!
//! Executed plugins inherit the lock, so after a killed call the next one waits for them (F-RUN-1). But a plugin may also leave a
//! daemon behind, which has it for ever. The two are told apart by time: no plugin may run longer than `delegateSeconds`,
//! so whoever is older is at work for no call any more. What is still in the session of the killed call then gets
//! SIGKILL, as that call would have done; what has a session of its own is a daemon and lives on, without the lock.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use manifold_cni::ContainerId;
use nix::errno::Errno;

use super::folder::Lies;
use super::{Ledger, LockError, SandboxLock, Uptime};

mod process;
mod scan;

/// How long a call that was just killed may still look alive.
const ENDING_CALL: Duration = Duration::from_millis(200);
/// How long the plugins of a killed call are waited for.
const ENDING_PLUGINS: Duration = Duration::from_secs(2);

/// A process that holds the lock of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    /// What its executable is called.
    pub name: String,
    group: i32,
    session: i32,
    /// When it was started.
    started: Uptime,
    /// Which process took the lock.
    taken_by: i32,
    descriptor: i32,
    /// Device and inode of the lock.
    file: (u64, u64),
}

/// All processes that hold the lock of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders(Vec<Holder>);

/// What a look at the holders says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody that can be seen.
    Unknown,
    /// The call that took it lives, and has its own deadlines.
    Call,
    /// The call was killed, and what it started may still be at work for so long.
    Left(Duration),
    /// Nobody is at work for the killed call any more.
    Over,
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one =
            |holder: &Holder| format!("{} (`{}`)", holder.pid, manifold_cni::name::printable(&holder.name));
        let all: Vec<String> = self.0.iter().map(one).collect();
        f.write_str(&all.join(", "))
    }
}

impl Holders {
    /// `most` is how long a plugin may run. A daemon that starts a process now and then is as old as its group.
    pub fn judge(&self, now: Uptime, most: Duration) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Unknown;
        }
        if self.0.iter().any(|holder| holder.pid == holder.taken_by) {
            return Verdict::Call;
        }
        let mut begun: BTreeMap<i32, Uptime> = BTreeMap::new();
        for holder in &self.0 {
            let group = begun.entry(holder.group).or_insert(holder.started);
            *group = (*group).min(holder.started);
        }
        let youngest = begun.into_values().max().map_or(0, |started| now.since(started));
        // A second more, as the kernel's clock of starts is coarse.
        match most.as_secs().saturating_add(1).saturating_sub(youngest) {
            0 => Verdict::Over,
            left => Verdict::Left(Duration::from_secs(left)),
        }
    }

    /// What a living call would have ended at the deadline.
    fn to_be_killed(&self) -> impl Iterator<Item = &Holder> {
        self.0.iter().filter(|holder| holder.session != holder.group)
    }
}

impl Ledger {
    /// The lock, if it is free or only what a killed call left behind has it. `None`: a call that lives works on the sandbox.
    /// With `waits`, what a killed call left may take a moment to end. `most` is how long a plugin may run.
    ///
    /// # Errors
    /// [`LockError::Busy`] while the plugins of a killed call may still be at work; [`LockError::Disk`] if the lock's file
    /// cannot be used.
    pub fn lock_unless_in_call(
        &self,
        id: &ContainerId,
        waits: bool,
        most: Duration,
    ) -> Result<Option<SandboxLock>, LockError> {
        let mut lock = self.lock(id, Instant::now());
        if waits && matches!(lock, Err(LockError::Busy { .. })) {
            let ending = match self.holders(id).judge(Uptime::now(), most) {
                Verdict::Call => ENDING_CALL,
                Verdict::Unknown | Verdict::Left(_) => ENDING_PLUGINS,
                Verdict::Over => Duration::ZERO,
            };
            lock = self.lock(id, Instant::now() + ending);
        }
        let busy = match lock {
            Ok(lock) => return Ok(Some(lock)),
            Err(LockError::Disk(e)) => return Err(e.into()),
            Err(busy) => busy,
        };
        let holders = self.holders(id);
        match holders.judge(Uptime::now(), most) {
            Verdict::Call => Ok(None),
            Verdict::Unknown | Verdict::Left(_) => Err(busy),
            Verdict::Over => {
                self.release(id, &holders);
                self.lock(id, Instant::now()).map(Some)
            }
        }
    }

    /// Looks through all processes of the node, so it is for those who have waited already.
    pub fn holders(&self, id: &ContainerId) -> Holders {
        let Ok(folder) = self.locks() else { return Holders::default() };
        match folder.look(id.as_str()) {
            Ok(Lies::Ours(file)) => Holders(scan::holders_of(&file, id.as_str())),
            _ => Holders::default(),
        }
    }

    /// Frees the lock of a call that was killed: to be called only where nobody is at work for it any more.
    pub fn release(&self, id: &ContainerId, holders: &Holders) {
        for holder in holders.to_be_killed() {
            tracing::warn!(container = %id, pid = holder.pid, name = %holder.name, "a process that a killed call left behind is killed: it is older than any plugin may be");
            process::kill(holder);
        }
        // All of them share one open file, so one that can be asked is enough.
        let mut failed = None;
        for holder in &holders.0 {
            match process::unlock(holder) {
                Ok(()) => {
                    failed = None;
                    break;
                }
                // It has ended, and has no lock any more.
                Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => {}
                Err(e) => failed = Some(e),
            }
        }
        match failed {
            None => {
                tracing::warn!(container = %id, "the lock of a killed call is taken from what its plugins left behind: {holders}");
            }
            Some(e) => {
                tracing::warn!(container = %id, "the lock of a killed call, which {holders} have, is not freed: {e}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    fn holder(pid: i32, group: i32, session: i32, started: u64) -> Holder {
        let started = Uptime(started);
        Holder {
            pid,
            name: format!("p{pid}"),
            group,
            session,
            started,
            taken_by: 7,
            descriptor: 5,
            file: (1, 2),
        }
    }

    #[track_caller]
    fn check(holders: &[Holder], now: u64, expected: Verdict) {
        assert_eq!(Holders(holders.to_vec()).judge(Uptime(now), MOST), expected);
    }

    // Shows part of: F-RUN-9
    #[test]
    fn what_a_killed_call_left_is_waited_for_as_long_as_a_plugin_may_run() {
        let left = |seconds| Verdict::Left(Duration::from_secs(seconds));
        check(&[], 1000, Verdict::Unknown);
        // A living call is waited for however old it is, whatever it started.
        check(&[holder(7, 3, 3, 100), holder(20, 20, 3, 100)], 9000, Verdict::Call);
        check(&[holder(20, 19, 3, 1000)], 1000, left(31));
        check(&[holder(20, 19, 3, 1000)], 1030, left(1));
        check(&[holder(20, 19, 3, 1000)], 1031, Verdict::Over);
        // A daemon is no reason not to wait for what is at work beside it.
        check(&[holder(20, 20, 20, 500), holder(30, 29, 3, 1000)], 1010, left(21));
    }

    // Shows part of: F-RUN-9
    #[test]
    fn a_daemon_that_starts_processes_again_and_again_is_as_old_as_the_oldest_of_its_group() {
        check(&[holder(20, 20, 20, 1000), holder(99, 20, 20, 1039)], 1040, Verdict::Over);
    }

    // Shows part of: F-RUN-9
    #[test]
    fn only_what_left_the_session_of_the_call_is_let_live() {
        let all = Holders(vec![holder(20, 20, 20, 1), holder(21, 20, 20, 1), holder(30, 29, 3, 1)]);
        assert_eq!(all.to_be_killed().map(|holder| holder.pid).collect::<Vec<_>>(), [30]);
        assert_eq!(all.to_string(), "20 (`p20`), 21 (`p21`), 30 (`p30`)");
    }
}
