//! SIGTERM during ADD: the walk stops before its next step and undoes itself, instead of dying half way (F-RUN-2).

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// From now on SIGTERM is a wish. A thread of its own waits for it, so no code runs in a signal handler. Children get
/// an empty signal mask from the standard library, so they die as usual.
pub fn heed() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    if set.thread_block().is_err() {
        return;
    }
    let wait = move || {
        if set.wait().is_ok() {
            TERMINATED.store(true, Ordering::Release);
        }
    };
    // Without the thread the signal stays pending and ADD runs to its end: the runtime's DEL follows.
    let _ = std::thread::Builder::new().name("sigterm".into()).spawn(wait);
}

pub fn terminated() -> bool {
    TERMINATED.load(Ordering::Acquire)
}
