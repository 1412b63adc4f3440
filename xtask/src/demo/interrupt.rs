//! Ctrl-C: everything of the demo goes, then the process.

use std::thread;

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

use super::place::Place;
use crate::progress;

/// What shells expect of a program that SIGINT ended.
const EXIT_CODE: i32 = 130;

/// From now on. Must come before any other thread starts: they inherit which signals are held back for this one.
pub(super) fn watch(place: &Place) -> anyhow::Result<()> {
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
    signals.thread_block().context("signals cannot be blocked")?;
    let place = place.clone();
    thread::spawn(move || {
        if signals.wait().is_ok() {
            place.clear();
            progress::line("\nInterrupted; the demo's namespaces and folder are removed.");
            std::process::exit(EXIT_CODE);
        }
    });
    Ok(())
}
