//! What was found of the policies, as a condition.

use jiff::Timestamp;
use manifold_crds::nad_status::Condition;

use crate::cluster::metrics::{Guard, State};

pub const CONDITION: &str = "PoliciesInPlace";

/// What is not as it should be; empty when all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Guard,
    pub name: String,
    pub state: State,
    /// Where a changed one differs.
    pub place: String,
}

impl Findings {
    pub fn count(&self, kind: Guard, state: State) -> i64 {
        let of = self.0.iter().filter(|f| f.kind == kind && f.state == state).count();
        i64::try_from(of).unwrap_or(i64::MAX)
    }

    /// The condition to write; `None` where the one that stands says the same.
    pub fn condition(&self, before: Option<&Condition>, generation: Option<i64>) -> Option<Condition> {
        let (status, reason) = self.verdict();
        let message = self.message();
        if before.is_some_and(|b| b.status == status && b.reason == reason && b.message == message) {
            return None;
        }
        let since = before.filter(|b| b.status == status).map(|b| b.last_transition_time.clone());
        Some(Condition {
            kind: CONDITION.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: since.unwrap_or_else(now),
            observed_generation: generation,
        })
    }

    fn verdict(&self) -> (&'static str, &'static str) {
        match self.0.iter().any(|f| f.state == State::Missing) {
            _ if self.0.is_empty() => ("True", "InPlace"),
            true => ("False", "Missing"),
            false => ("False", "Changed"),
        }
    }

    fn message(&self) -> String {
        if self.0.is_empty() {
            return "every policy, binding and webhook configuration is there and unchanged".to_owned();
        }
        let told: Vec<String> = self.0.iter().map(Finding::told).collect();
        format!(
            "{}; requests that they would deny are allowed until Manifold's manifests are applied again",
            told.join(", ")
        )
    }
}

impl Finding {
    fn told(&self) -> String {
        let kind = match self.kind {
            Guard::Policy => "policy",
            Guard::Binding => "policy binding",
            Guard::Webhook => "webhook configuration",
        };
        match self.state {
            State::Missing => format!("{kind} `{}` is missing", self.name),
            State::Changed => format!("{kind} `{}` was changed at `{}`", self.name, self.place),
        }
    }
}

/// Conditions have whole seconds.
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, state: State) -> Finding {
        Finding { kind: Guard::Policy, name: name.into(), state, place: "spec.failurePolicy".into() }
    }

    #[test]
    fn the_condition_names_what_is_missing_and_what_was_changed_and_where() {
        let findings =
            Findings(vec![finding("manifold-a", State::Missing), finding("manifold-b", State::Changed)]);
        let condition = findings.condition(None, Some(2)).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Missing"));
        assert!(condition.message.contains("policy `manifold-a` is missing"), "{}", condition.message);
        assert!(condition.message.contains("`manifold-b` was changed at `spec.failurePolicy`"));
        assert_eq!(findings.count(Guard::Policy, State::Missing), 1);
        assert_eq!(findings.count(Guard::Binding, State::Missing), 0);
    }

    #[test]
    fn a_condition_that_says_the_same_is_not_written_again_and_keeps_its_time() {
        let missing = Findings(vec![finding("manifold-a", State::Missing)]);
        let mut first = missing.condition(None, Some(1)).unwrap();
        first.last_transition_time = "2026-01-01T00:00:00Z".into();
        assert_eq!(missing.condition(Some(&first), Some(2)), None);
        let two =
            Findings(vec![finding("manifold-a", State::Missing), finding("manifold-b", State::Missing)]);
        assert_eq!(
            two.condition(Some(&first), Some(2)).unwrap().last_transition_time,
            "2026-01-01T00:00:00Z"
        );
        let well = Findings::default().condition(Some(&first), Some(2)).unwrap();
        assert_eq!(well.status, "True");
        assert_ne!(well.last_transition_time, "2026-01-01T00:00:00Z");
    }
}
