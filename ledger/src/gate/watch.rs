//! Tells when a file of the gate was closed.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

pub(super) struct Watch(Option<Inotify>);

impl Watch {
    /// The kernel tells of the closing a moment before it drops the lock of a process that was killed, so a look after
    /// the news can come too early; and the node may have no watch left to give. This bounds both.
    const LOOK_AGAIN: Duration = Duration::from_millis(25);

    pub(super) fn on(folder: &Path) -> Self {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).and_then(|watch| {
            watch.add_watch(folder, AddWatchFlags::IN_CLOSE_NOWRITE | AddWatchFlags::IN_CLOSE_WRITE)?;
            Ok(watch)
        });
        Self(watch.ok())
    }

    pub(super) fn wait(&self, until: Instant) {
        let limit = until.saturating_duration_since(Instant::now()).min(Self::LOOK_AGAIN);
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        let mut fds: Vec<PollFd<'_>> =
            self.0.iter().map(|w| PollFd::new(w.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, timeout);
        if let Some(watch) = &self.0 {
            let _ = watch.read_events();
        }
    }
}
