//! Laws that hold of every value, not only of hostile ones: 100,000 values each, unless `PROPTEST_CASES` says otherwise.

mod annotations;
mod results;
mod status_size;
mod undo;

/// How often a law is tried.
fn cases() -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    proptest::test_runner::Config::with_cases(asked.unwrap_or(100_000))
}
