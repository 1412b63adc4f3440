//! Decides what becomes of the certificates now. Pure: the Secret, the API server's trust and the time in, one step out.

use jiff::{SignedDuration, Timestamp};

use super::keep::Lifetimes;
use super::stored::Stored;

/// Whom the API server trusts, by the webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Trust {
    /// There is no such configuration, so nobody calls.
    Nobody,
    /// Others than the Secret says.
    Others,
    /// All that the Secret says.
    Bundle,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Step {
    /// There is nothing that can be served: a certificate for at once.
    Issue,
    /// The API server learns whom to trust.
    Tell,
    /// A third is left: a certificate for later.
    Prepare,
    /// The API server was told of the successor: from now on the time runs until it is served.
    Told,
    /// The successor is served.
    Promote,
    /// Authorities whose certificates have ended go.
    Forget,
    Rest,
}

/// Decides.
pub(in crate::admission) fn step(
    stored: Option<&Stored>,
    names: &[String],
    trust: Trust,
    now: Timestamp,
    lifetimes: &Lifetimes,
) -> Step {
    let Some(stored) = stored.filter(|s| s.names == names && now < s.current.expires) else {
        return Step::Issue;
    };
    if trust == Trust::Others {
        return Step::Tell;
    }
    let told = trust == Trust::Bundle;
    match &stored.successor {
        Some(successor) => match successor.told {
            None if told => return Step::Told,
            Some(since) if told && now >= after(since, lifetimes.settle) => return Step::Promote,
            _ => {}
        },
        None if in_last_third(stored, now) => return Step::Prepare,
        None => {}
    }
    if stored.former.iter().any(|f| f.expires <= now) {
        return Step::Forget;
    }
    Step::Rest
}

fn in_last_third(stored: &Stored, now: Timestamp) -> bool {
    let whole = stored.current.expires.duration_since(stored.current.issued);
    stored.current.expires.duration_since(now) * 3 <= whole
}

/// A time beyond the calendar is never reached.
pub(in crate::admission) fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::certificate::stored::{Former, Issued, Key, Successor};

    const DAY: i64 = 86_400;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).unwrap()
    }

    fn issued(from: i64, until: i64) -> Issued {
        Issued {
            authority: format!("ca {from}"),
            certificate: String::new(),
            key: Key(String::new()),
            issued: at(from),
            expires: at(until),
        }
    }

    fn names() -> Vec<String> {
        vec!["a.b.svc".to_owned()]
    }

    fn stored() -> Stored {
        Stored { names: names(), current: issued(0, 90), successor: None, former: Vec::new() }
    }

    #[track_caller]
    fn check(stored: Option<&Stored>, trust: Trust, day: i64, expected: Step) {
        let lifetimes = Lifetimes {
            valid: SignedDuration::from_secs(90 * DAY),
            settle: SignedDuration::from_secs(60),
            look: std::time::Duration::from_secs(1),
        };
        assert_eq!(step(stored, &names(), trust, at(day), &lifetimes), expected);
    }

    #[test]
    fn without_a_certificate_that_can_be_served_one_is_issued() {
        check(None, Trust::Nobody, 0, Step::Issue);
        check(Some(&stored()), Trust::Bundle, 90, Step::Issue);
        let other = Stored { names: vec!["x".to_owned()], ..stored() };
        check(Some(&other), Trust::Bundle, 1, Step::Issue);
    }

    #[test]
    fn the_api_server_is_told_before_anything_else() {
        check(Some(&stored()), Trust::Others, 1, Step::Tell);
        check(Some(&stored()), Trust::Others, 89, Step::Tell);
        check(Some(&stored()), Trust::Bundle, 1, Step::Rest);
        check(Some(&stored()), Trust::Nobody, 1, Step::Rest);
    }

    #[test]
    fn a_successor_is_made_in_the_last_third() {
        check(Some(&stored()), Trust::Bundle, 59, Step::Rest);
        check(Some(&stored()), Trust::Bundle, 60, Step::Prepare);
    }

    #[test]
    fn a_successor_is_served_only_after_the_api_server_was_told_for_a_while() {
        let mut with =
            Stored { successor: Some(Successor { issued: issued(60, 150), told: None }), ..stored() };
        check(Some(&with), Trust::Others, 61, Step::Tell);
        check(Some(&with), Trust::Bundle, 61, Step::Told);
        check(Some(&with), Trust::Nobody, 61, Step::Rest);
        with.successor.as_mut().unwrap().told = Some(at(61));
        check(Some(&with), Trust::Bundle, 61, Step::Rest);
        check(Some(&with), Trust::Bundle, 62, Step::Promote);
        // Somebody took the trust away again.
        check(Some(&with), Trust::Others, 62, Step::Tell);
    }

    #[test]
    fn an_old_authority_is_trusted_until_its_certificate_has_ended() {
        let former = vec![Former { authority: "ca 0".into(), expires: at(90) }];
        let with = Stored { current: issued(60, 150), former, ..stored() };
        assert!(with.bundle().contains("ca 0"));
        check(Some(&with), Trust::Bundle, 89, Step::Rest);
        check(Some(&with), Trust::Bundle, 90, Step::Forget);
    }
}
