//! What a node must look like after each step of a history: for each sandbox what may be there, and what must not.

use std::collections::BTreeMap;

/// What is known of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is there.
    Absent,
    /// All of it is there.
    Attached,
    /// A call was cut short: some of it may be there, and its next call puts that right.
    Torn,
    /// Its namespace went with a reboot. What is left goes before the next ADD is answered.
    Stale,
}

/// A step, for messages and to decide what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add,
    Del,
    Check,
    /// GC with everything that the runtime knows.
    Gc,
    /// GC with a runtime that has forgotten this sandbox.
    Forget,
    KillAdd,
    KillDel,
    RefuseAdd,
    RefuseDel,
    Reboot,
    /// ADD while the definitions cannot be had.
    AddWithoutDefinitions,
    /// DEL while the definitions cannot be had.
    DelWithoutDefinitions,
}

/// How often each is drawn.
pub(super) const STEPS: [(Step, u64); 12] = [
    (Step::Add, 24),
    (Step::Del, 18),
    (Step::Check, 10),
    (Step::Gc, 6),
    (Step::Forget, 5),
    (Step::KillAdd, 9),
    (Step::KillDel, 7),
    (Step::RefuseAdd, 7),
    (Step::RefuseDel, 6),
    (Step::Reboot, 1),
    (Step::AddWithoutDefinitions, 4),
    (Step::DelWithoutDefinitions, 3),
];

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Failure(u64),
    Killed,
}

/// What came of a step in the model: the state, or why the call should not have ended so.
pub(super) fn after(step: Step, state: State, end: End) -> Result<State, &'static str> {
    use State::{Absent, Attached, Stale, Torn};
    match (step, end) {
        (Step::Add | Step::KillAdd | Step::RefuseAdd | Step::AddWithoutDefinitions, End::Success) => {
            match state {
                Attached => Err("a second ADD of an attached sandbox succeeded"),
                _ => Ok(Attached),
            }
        }
        (Step::Add, End::Failure(code)) => match (state, code) {
            (Attached, 100..) => Ok(Attached),
            (Attached, _) => Err("a second ADD must be refused with a code of ours"),
            _ => Err("ADD failed although nothing is in its way"),
        },
        (Step::AddWithoutDefinitions, End::Failure(code)) => match (state, code) {
            (Attached, 100..) => Ok(Attached),
            (Attached, _) => Err("a second ADD must be refused with a code of ours"),
            (_, 3) => Err("code 3 makes a runtime skip DEL"),
            // What an earlier call left may be undone by now.
            (Torn, _) => Ok(Torn),
            _ => Ok(Absent),
        },
        (Step::KillAdd, End::Killed) | (Step::RefuseAdd, End::Failure(_)) => {
            Ok(if state == Attached { Attached } else { Torn })
        }
        (Step::KillAdd, End::Failure(_)) => {
            if state == Attached {
                Ok(Attached)
            } else {
                Err("ADD failed although nothing is in its way")
            }
        }
        (
            Step::Del | Step::KillDel | Step::RefuseDel | Step::DelWithoutDefinitions | Step::Forget,
            End::Success,
        ) => Ok(Absent),
        (Step::Del | Step::DelWithoutDefinitions | Step::KillDel | Step::Forget, End::Failure(_)) => {
            Err("it failed although nothing is in its way")
        }
        (Step::KillDel, End::Killed) | (Step::RefuseDel, End::Failure(_)) => {
            Ok(if state == Absent { Absent } else { Torn })
        }
        (Step::Check, End::Success) => {
            if state == Attached {
                Ok(state)
            } else {
                Err("CHECK of what is not attached succeeded")
            }
        }
        (Step::Check, End::Failure(_)) => {
            if state == Attached {
                Err("CHECK of an attached sandbox failed")
            } else {
                Ok(state)
            }
        }
        (Step::Gc, End::Success) => Ok(state),
        (Step::Gc, End::Failure(_)) => Err("GC failed although nothing is in its way"),
        (Step::Reboot, _) => Ok(if state == Absent { Absent } else { Stale }),
        (_, End::Killed) => Err("nobody killed it"),
    }
}

/// The addresses that a network has given, by the container that has each.
pub(super) type Leases = BTreeMap<String, Vec<String>>;

/// Compares one sandbox with what the model says of it. `leases` are those of its container, `links` the interfaces but `lo`.
pub(super) fn compare(
    state: State,
    entry: bool,
    leases: usize,
    links: usize,
    whole: (usize, usize),
) -> Result<(), String> {
    let seen = format!("entry: {entry}, {leases} leases, {links} interfaces");
    match state {
        State::Absent if entry || leases > 0 || links > 0 => Err(format!("it should be gone: {seen}")),
        State::Attached if !entry || (leases, links) != whole => {
            Err(format!("it should be whole ({} leases, {} interfaces): {seen}", whole.0, whole.1))
        }
        // What has leases must have an entry, else nobody gives them back.
        State::Torn | State::Stale if leases > 0 && !entry => Err(format!("nobody will clean up: {seen}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_forgets_or_lies_is_told() {
        assert!(compare(State::Absent, false, 1, 0, (2, 2)).is_err());
        assert!(compare(State::Attached, true, 2, 1, (2, 2)).is_err());
        assert!(compare(State::Torn, false, 1, 0, (2, 2)).is_err());
        assert!(compare(State::Torn, true, 1, 0, (2, 2)).is_ok());
        assert!(after(Step::Add, State::Attached, End::Success).is_err());
        assert!(after(Step::Del, State::Torn, End::Failure(11)).is_err());
        assert!(after(Step::Check, State::Absent, End::Success).is_err());
        assert_eq!(after(Step::KillAdd, State::Absent, End::Killed), Ok(State::Torn));
    }
}
