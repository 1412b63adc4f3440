//! What a person sees while a verb works: one line a step, with the time it took.

#![expect(clippy::print_stdout, reason = "this is the one place of the tool box that talks to its user")]

use std::io::Write as _;
use std::time::{Duration, Instant};

/// One plain line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what begins, runs it, and says how long it took. On a failure the error carries on.
pub(crate) fn step<T>(what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    print!("  {what} … ");
    let _ = std::io::stdout().flush();
    let begin = Instant::now();
    let outcome = run();
    let mark = if outcome.is_ok() { "done" } else { "FAILED" };
    println!("{mark} ({})", seconds(begin.elapsed()));
    outcome
}

pub(crate) fn seconds(took: Duration) -> String {
    match took.as_secs() {
        s if s >= 60 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}
