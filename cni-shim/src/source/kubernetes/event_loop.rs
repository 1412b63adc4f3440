//! The event loop on which the calls of one process run: one thread, made when a call is first needed.

use tokio::runtime::{Builder, EnterGuard, Runtime};

use super::super::{Kind, SourceError};

/// Empty only while it is dropped.
pub(super) struct EventLoop(Option<Runtime>);

impl EventLoop {
    pub(super) fn new() -> Result<Self, SourceError> {
        let made = Builder::new_current_thread().enable_all().build();
        made.map(|runtime| Self(Some(runtime))).map_err(|e| {
            let what = format!("cannot create an event loop ({e}); raise the limit of open files");
            SourceError::new(Kind::Io, what)
        })
    }

    pub(super) fn run<F: Future>(&self, calls: F) -> F::Output {
        self.runtime().block_on(calls)
    }

    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("only `drop` takes it")
    }
}

impl Drop for EventLoop {
    /// The name of a server is looked up on a thread that cannot be stopped. An event loop that is simply dropped waits
    /// for it, past every deadline; here it is left to the end of the process.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    // Shows part of: F-API-2
    #[test]
    fn a_look_up_that_never_ends_holds_nobody_up() {
        let calls = EventLoop::new().unwrap();
        let stuck = || std::thread::sleep(Duration::from_secs(60));
        calls.run(async move { drop(tokio::task::spawn_blocking(stuck)) });
        let begun = Instant::now();
        drop(calls);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
