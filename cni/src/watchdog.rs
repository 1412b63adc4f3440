//! Ends this process when work in it goes on past its end.
//!
//! A bundled plugin bounds its own waits. A file system that does not answer, or a kernel that does not, it cannot bound,
//! and a thread cannot be ended. So the process goes, as an executed plugin would be killed at its deadline. What was
//! begun is where the caller wrote it down, and DEL undoes it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a plugin may take after its deadline to take back what it did.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long the last words may take.
const LAST_WORDS_MOST: Duration = Duration::from_secs(3);

/// Says the last words of the process, and with which code it ends.
type Overdue = Box<dyn FnOnce() -> u8 + Send>;

static WATCHDOG: Watchdog = Watchdog { works: Mutex::new(Works::none()), changed: Condvar::new() };

struct Watchdog {
    works: Mutex<Works>,
    changed: Condvar,
}

struct Works {
    /// By when they must have ended, and the order in which they began.
    running: BTreeMap<(Instant, u64), Overdue>,
    begun: u64,
    has_thread: bool,
}

/// Something is watched until this is dropped.
#[derive(Debug)]
pub struct Watch {
    key: (Instant, u64),
}

/// If the work is not over by `end`, which dropping the answer tells, `overdue` is called on another thread, and the
/// process ends with its answer.
pub fn watch(end: Instant, overdue: impl FnOnce() -> u8 + Send + 'static) -> Watch {
    let mut works = WATCHDOG.lock();
    works.begun += 1;
    let key = (end, works.begun);
    works.running.insert(key, Box::new(overdue));
    if works.has_thread {
        WATCHDOG.changed.notify_one();
    } else {
        let started = start("watchdog", || WATCHDOG.guard());
        if let Err(error) = &started {
            tracing::warn!(
                "a plugin that hangs cannot be stopped, because no thread can be started: {error}"
            );
        }
        works.has_thread = started.is_ok();
    }
    Watch { key }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHDOG.lock().running.remove(&self.key);
    }
}

impl Works {
    const fn none() -> Self {
        Self { running: BTreeMap::new(), begun: 0, has_thread: false }
    }
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, Works> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guard(&self) {
        let mut works = self.lock();
        loop {
            let now = Instant::now();
            works = match works.running.first_entry() {
                None => self.changed.wait(works).unwrap_or_else(PoisonError::into_inner),
                Some(first) if first.key().0 > now => {
                    let left = first.key().0 - now;
                    self.changed.wait_timeout(works, left).unwrap_or_else(PoisonError::into_inner).0
                }
                // The lock is kept: a call that ends just now does not get away with a second answer.
                Some(first) => end_process(first.remove()),
            };
        }
    }
}

/// The last words are a courtesy: a disk that keeps them back must not keep the process.
fn end_process(overdue: Overdue) -> ! {
    let _ = start("end", || {
        thread::sleep(LAST_WORDS_MOST);
        std::process::exit(1);
    });
    std::process::exit(overdue().into())
}

/// These threads mostly wait, and many processes wait at once.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    const STACK_BYTES: usize = 256 << 10;
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(work).map(drop)
}
