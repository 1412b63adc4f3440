//! What a person sees while a verb works: one line a step, with the time it took.
//!
//! On a terminal a long step counts its seconds and says how far it is. Elsewhere there are whole lines and no escape
//! codes.

#![expect(clippy::print_stdout, reason = "this is the one place of the tool box that talks to its user")]

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Columns that every terminal has.
const NARROW: usize = 78;

/// How many pairs of things are done at once.
static PAIRS: AtomicUsize = AtomicUsize::new(0);

/// How far a running step is, in a few words.
#[derive(Debug, Default)]
pub(crate) struct Detail(Mutex<String>);

impl Detail {
    pub(crate) fn say(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words.to_owned();
    }

    fn said(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One plain line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Why a verb failed, on one line where it is one sentence. No backtrace: it is the user's to mend, not ours.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

/// A line that begins something.
pub(crate) fn heading(text: &str) {
    println!("{}", bold(text));
}

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

/// Green or red, where there are colours.
pub(crate) fn verdict(good: bool, text: &str) -> String {
    paint(if good { "32" } else { "31" }, text)
}

fn paint(code: &str, text: &str) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Says what begins, runs it, and says how long it took. On a failure the error carries on.
pub(crate) fn step<T>(what: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    watched(what, |_| run())
}

/// The same for what takes long and can say how far it is.
pub(crate) fn watched<T>(what: &str, run: impl FnOnce(&Detail) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begin = Instant::now();
    let detail = Detail::default();
    if PAIRS.load(Ordering::Relaxed) > 0 {
        let outcome = run(&detail);
        println!("  {what} … {}", ended(outcome.is_ok(), begin));
        return outcome;
    }
    print!("  {what} … ");
    let _ = std::io::stdout().flush();
    let outcome = thread::scope(|scope| {
        let (running, over) = mpsc::channel::<()>();
        if std::io::stdout().is_terminal() {
            scope.spawn(|| tick(what, begin, &detail, over));
        }
        let outcome = run(&detail);
        drop(running);
        outcome
    });
    println!("{}", ended(outcome.is_ok(), begin));
    outcome
}

fn ended(good: bool, begin: Instant) -> String {
    let mark = verdict(good, if good { "done" } else { "FAILED" });
    format!("{mark} ({})", seconds(begin.elapsed()))
}

/// Two things at once. Meanwhile a step is told when it has ended, for two cannot share a line.
pub(crate) fn beside<A: Send, B: Send>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    PAIRS.fetch_add(1, Ordering::Relaxed);
    let both = thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    });
    PAIRS.fetch_sub(1, Ordering::Relaxed);
    both
}

/// Draws the line anew each second, and leaves it as it was in the beginning.
fn tick(what: &str, begin: Instant, detail: &Detail, over: mpsc::Receiver<()>) {
    let draw = |words: &str| {
        // A line that is wrapped cannot be drawn over.
        let line: String = format!("  {what} … {words}").chars().take(NARROW).collect();
        print!("\r\x1b[K{line}");
        let _ = std::io::stdout().flush();
    };
    while over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let said = detail.said();
        let comma = if said.is_empty() { "" } else { ", " };
        draw(&format!("{said}{comma}{} s", begin.elapsed().as_secs()));
    }
    print!("\r\x1b[K  {what} … ");
    let _ = std::io::stdout().flush();
}

pub(crate) fn seconds(took: Duration) -> String {
    match took.as_secs() {
        s if s >= 60 => format!("{} min {:02} s", s / 60, s % 60),
        _ if took < Duration::from_millis(100) => format!("{:.0} ms", took.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}
