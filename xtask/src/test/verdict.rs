//! What a test executable said: which of its tests passed, which failed, and which are left to the guest kernel.
//!
//! A test that is left out is no success. `#[ignore]` is for a test with a reason that stands here: it needs the guest
//! kernel, or it is no test of its own. Any other ignored test is a failure.

use std::time::Duration;

/// A test that is ignored for a reason with this word is run in the guest kernel.
const GUEST: &str = "guest";
/// How the reason begins of a test that needs a program which nobody can fetch; then comes the variable that names it.
const GIVEN: &str = "needs a program that is given: ";
/// How the reasons begin of what carries the attribute and claims nothing: halves of other tests, and tools.
const NO_CLAIMS: [&str; 4] = [
    "runs as a child of another test",
    "run by the test above",
    "a measurement, not a claim",
    "writes files; only for a new format",
];

/// What one suite said.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) passed: Vec<String>,
    pub(crate) failed: Vec<String>,
    /// Those that only the guest kernel can run.
    pub(crate) for_guest: Vec<String>,
    /// Those that need a program which a variable names: test and variable.
    pub(crate) to_be_given: Vec<(String, String)>,
    /// How long tests took, where that was printed.
    pub(crate) durations: Vec<(String, Duration)>,
    /// Everything the executable printed.
    pub(crate) text: String,
}

impl Outcome {
    /// Reads what was printed. `failure` says how the executable ended, when that was not well.
    pub(crate) fn read(text: String, failure: Option<String>) -> Self {
        let mut outcome = Self::default();
        for (name, verdict) in text.lines().filter_map(said_of_a_test) {
            let (verdict, took) = split_time(verdict);
            outcome.durations.extend(took.map(|took| (name.to_owned(), took)));
            let Some(verdict) = Verdict::read(verdict) else { continue };
            match verdict {
                Verdict::Passed => outcome.passed.push(name.to_owned()),
                Verdict::Failed => outcome.failed.push(name.to_owned()),
                Verdict::Ignored(why) if why.contains(GUEST) => outcome.for_guest.push(name.to_owned()),
                Verdict::Ignored(why) if NO_CLAIMS.iter().any(|begin| why.starts_with(begin)) => {}
                Verdict::Ignored(why) => match why.strip_prefix(GIVEN) {
                    Some(variable) => outcome.to_be_given.push((name.to_owned(), variable.to_owned())),
                    None => outcome.failed.push(format!("{name} is ignored")),
                },
            }
        }
        if let Some(failure) = failure.filter(|_| outcome.failed.is_empty()) {
            outcome.failed.push(failure);
        }
        outcome.text = text;
        outcome
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Passed,
    Failed,
    Ignored(&'a str),
}

impl<'a> Verdict<'a> {
    fn read(word: &'a str) -> Option<Self> {
        Some(match word {
            "ok" => Self::Passed,
            "FAILED" => Self::Failed,
            ignored => Self::Ignored(ignored.strip_prefix("ignored")?.trim_start_matches(", ")),
        })
    }
}

/// The name of a test, and what is said of it.
fn said_of_a_test(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim_end_matches(" - should panic"), verdict))
}

/// `ok <1.234s>` is a verdict and a time.
fn split_time(verdict: &str) -> (&str, Option<Duration>) {
    let split = verdict.strip_suffix("s>").and_then(|rest| rest.rsplit_once(" <"));
    let Some((word, seconds)) = split else { return (verdict, None) };
    match seconds.parse() {
        Ok(seconds) => (word, Duration::try_from_secs_f64(seconds).ok()),
        Err(_) => (verdict, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, passed: &[&str], failed: &[&str], for_guest: &[&str]) {
        let outcome = Outcome::read(format!("\nrunning 1 test\n{line}\n\n"), None);
        assert_eq!(outcome.passed, passed);
        assert_eq!(outcome.failed, failed);
        assert_eq!(outcome.for_guest, for_guest);
    }

    #[test]
    fn each_verdict_of_a_test_is_understood() {
        check("test a::b ... ok", &["a::b"], &[], &[]);
        check("test a::b - should panic ... ok", &["a::b"], &[], &[]);
        check("test a::b ... FAILED", &[], &["a::b"], &[]);
        check("test result: ok. 1 passed; 0 failed; 0 ignored", &[], &[], &[]);
    }

    #[test]
    fn the_time_of_a_test_is_read_beside_its_verdict() {
        let outcome = Outcome::read("test a::b ... ok <1.250s>\ntest c ... FAILED <0.001s>\n".into(), None);
        assert_eq!((outcome.passed, outcome.failed), (vec!["a::b".to_owned()], vec!["c".to_owned()]));
        let took = |ms| Duration::from_millis(ms);
        assert_eq!(outcome.durations, [("a::b".to_owned(), took(1250)), ("c".to_owned(), took(1))]);
        assert_eq!(Outcome::read("test a ... ok\n".into(), None).durations, []);
    }

    #[test]
    fn an_ignored_test_fails_unless_its_reason_is_known() {
        check("test a::b ... ignored", &[], &["a::b is ignored"], &[]);
        check("test a::b ... ignored, flaky", &[], &["a::b is ignored"], &[]);
        check("test a::b ... ignored, runs as a child of another test", &[], &[], &[]);
        check("test a::b ... ignored, needs VLANs: run it in the guest kernel", &[], &[], &["a::b"]);
    }

    #[test]
    fn a_test_that_needs_a_given_program_is_kept_with_its_variable() {
        let text = "test a::b ... ignored, needs a program that is given: MANIFOLD_X\n";
        let outcome = Outcome::read(text.into(), None);
        assert_eq!(outcome.to_be_given, [("a::b".to_owned(), "MANIFOLD_X".to_owned())]);
        assert!(outcome.failed.is_empty() && outcome.passed.is_empty());
    }

    #[test]
    fn an_executable_that_dies_is_a_failure() {
        let outcome = Outcome::read("test a ... ok\n".into(), Some("ended with signal 11".into()));
        assert_eq!(outcome.failed, ["ended with signal 11"]);
    }
}
