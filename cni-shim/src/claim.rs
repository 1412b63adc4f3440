//! The lock of a sandbox, and what is done when a call that was killed has it still, through what its plugins left behind.

use std::time::{Duration, Instant};

use manifold_cni::{CniError, ContainerId, code};
use manifold_ledger::holders::{Holders, Verdict};
use manifold_ledger::{Ledger, LockError, SandboxLock, Uptime};

use crate::shim::Shim;

/// Before the first look at who holds the lock: most calls end sooner, and a look goes through all processes.
const LOOK_AFTER: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The lock was not to be had.
#[derive(Debug)]
pub struct NotHad {
    pub error: CniError,
    /// A call that lives has it, and will give it back by itself.
    pub by_a_call: bool,
}

impl From<NotHad> for CniError {
    fn from(not_had: NotHad) -> Self {
        not_had.error
    }
}

/// What becomes of an ADD that has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It is waited for: by ADD and CHECK.
    LetEnd,
    /// It is told to undo itself: by DEL.
    Cancel,
}

/// Waits for the lock until `deadline`.
pub fn lock(
    shim: &Shim,
    ledger: &Ledger,
    id: &ContainerId,
    running: Running,
    deadline: Instant,
) -> Result<SandboxLock, NotHad> {
    let lock = |until| match running {
        Running::LetEnd => ledger.lock(id, until),
        Running::Cancel => ledger.lock_and_cancel(id, until),
    };
    let begun = Instant::now();
    let most = shim.config.limits.delegate;
    let mut pause = LOOK_AFTER;
    loop {
        match lock(deadline.min(Instant::now() + pause)) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Busy { .. }) => {}
            Err(disk) => return Err(NotHad { error: disk.into(), by_a_call: true }),
        }
        let holders = ledger.holders(id);
        let verdict = holders.judge(Uptime::now(), most);
        if verdict == Verdict::Over {
            ledger.release(id, &holders);
            if let Ok(lock) = lock(Instant::now()) {
                return Ok(lock);
            }
        }
        if Instant::now() >= deadline {
            return Err(not_had(id, begun.elapsed(), &holders, &verdict));
        }
        pause = if let Verdict::Left(left) = verdict { left.min(LOOK_EVERY) } else { LOOK_EVERY };
    }
}

fn not_had(id: &ContainerId, waited: Duration, holders: &Holders, verdict: &Verdict) -> NotHad {
    let by_a_call = *verdict == Verdict::Call;
    let seconds = waited.as_secs();
    if by_a_call || *verdict == Verdict::Unknown {
        let busy = LockError::Busy { what: format!("sandbox `{id}`"), seconds };
        return NotHad { error: busy.into(), by_a_call };
    }
    let msg = format!(
        "sandbox `{id}` is still held after {seconds} s by what a killed call left behind: process {holders}"
    );
    let fix = match verdict {
        Verdict::Left(left) => format!(
            "fix: none needed; they may be plugins that still run. The runtime retries, and Manifold stops waiting for them in {} s",
            left.as_secs()
        ),
        _ => "fix: end these processes".to_owned(),
    };
    let error =
        CniError::new(code::TRY_AGAIN, msg).details(format!("nothing was touched by this call; {fix}"));
    NotHad { error, by_a_call }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: F-RUN-9
    #[test]
    fn only_a_call_that_lives_is_no_failure_of_del() {
        let id: ContainerId = "c1".parse().unwrap();
        let told = |verdict| not_had(&id, Duration::from_secs(20), &Holders::default(), &verdict);
        assert!(told(Verdict::Call).by_a_call);
        let left = told(Verdict::Left(Duration::from_secs(11)));
        assert!(!left.by_a_call && !told(Verdict::Over).by_a_call && !told(Verdict::Unknown).by_a_call);
        assert!(left.error.details.contains("in 11 s"), "{}", left.error);
        assert_eq!(CniError::from(left).code, code::TRY_AGAIN);
    }
}
