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
    match step {
        Step::Add | Step::KillAdd | Step::RefuseAdd | Step::AddWithoutDefinitions => {
            after_add(step, state, end)
        }
        Step::Del | Step::KillDel | Step::RefuseDel | Step::DelWithoutDefinitions => {
            after_del(step, state, end)
        }
        Step::Check => after_check(state, end),
        Step::Gc | Step::Forget => match end {
            End::Success => Ok(if step == Step::Forget { State::Absent } else { state }),
            _ => Err("GC failed although nothing is in its way"),
        },
        Step::Reboot => Ok(State::Absent),
    }
}

fn after_add(step: Step, state: State, end: End) -> Result<State, &'static str> {
    use State::{Absent, Attached, Torn};
    match (end, state) {
        (End::Success, Attached) => Err("a second ADD of an attached sandbox succeeded"),
        (End::Success, _) => Ok(Attached),
        (End::Killed, _) if step != Step::KillAdd => Err("nobody killed it"),
        (End::Failure(3), _) => Err("code 3 makes a runtime skip DEL"),
        // Refused, as it is attached; whatever else goes wrong meanwhile.
        (End::Killed, Attached) => Ok(Attached),
        (End::Failure(_), Attached) if step == Step::RefuseAdd => Ok(Attached),
        (End::Failure(100..), Attached) => Ok(Attached),
        (End::Failure(_), Attached) => Err("a second ADD must be refused with a code of ours"),
        // A call that was cut short had finished all but its answer, or had begun nothing.
        (End::Failure(100..), Torn) => Ok(Torn),
        (End::Failure(_), _) if step == Step::RefuseAdd => Ok(Torn),
        (End::Failure(_), Torn) if step == Step::AddWithoutDefinitions => Ok(Torn),
        (End::Failure(_), _) if step == Step::AddWithoutDefinitions => Ok(Absent),
        (End::Failure(_), _) => Err("ADD failed although nothing is in its way"),
        (End::Killed, _) => Ok(Torn),
    }
}

fn after_del(step: Step, state: State, end: End) -> Result<State, &'static str> {
    let cut_short = if state == State::Absent { State::Absent } else { State::Torn };
    match (end, step) {
        (End::Success, _) => Ok(State::Absent),
        (End::Failure(_), Step::RefuseDel) | (End::Killed, Step::KillDel) => Ok(cut_short),
        (End::Failure(_), _) => Err("DEL failed although nothing is in its way"),
        (End::Killed, _) => Err("nobody killed it"),
    }
}

fn after_check(state: State, end: End) -> Result<State, &'static str> {
    match (end, state) {
        (End::Success, State::Absent) => Err("CHECK of what is not attached succeeded"),
        (End::Failure(_), State::Attached) => Err("CHECK of an attached sandbox failed"),
        (End::Killed, _) => Err("nobody killed it"),
        // Of what was cut short all may be there, or half.
        _ => Ok(state),
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
        State::Torn if leases > 0 && !entry => Err(format!("nobody will clean up: {seen}")),
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
