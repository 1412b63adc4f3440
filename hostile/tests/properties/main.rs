//! Laws that hold of every value, not only of hostile ones. `PROPTEST_CASES=100000` tries each as often as the requirements ask;
//! a test run, whose code is not optimised, tries fewer.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its values has failed")]

mod annotations;
mod results;
mod status_size;
mod undo;

/// How often a law is tried.
fn cases() -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    proptest::test_runner::Config::with_cases(asked.unwrap_or(2_000))
}
