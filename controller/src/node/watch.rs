//! Tells when something in a folder changes, and from time to time without that: what inotify misses (a folder that is
//! made anew, an overlay that does not tell) is found by the slow look.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// What comes at once is told once.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often is looked without being told.
const SLOW: Duration = Duration::from_secs(10);

/// Calls `wake` from a thread of its own for as long as the process runs. `wake` says whether to go on.
pub fn folders(paths: Vec<PathBuf>, wake: impl Fn() -> bool + Send + 'static) -> anyhow::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
        .context("changes of folders cannot be watched; raise `fs.inotify.max_user_instances`")?;
    let name = "folders".to_owned();
    std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            loop {
                look_at(&inotify, &paths);
                wait(&inotify);
                if !wake() {
                    return;
                }
                std::thread::sleep(TOGETHER);
            }
        })
        .context("a thread cannot be started")?;
    Ok(())
}

/// Again for each folder: one that was made anew is another one.
fn look_at(inotify: &Inotify, paths: &[PathBuf]) {
    let what = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    for path in paths {
        // One that is not there yet is met by the slow look.
        let _ = inotify.add_watch(path, what | AddWatchFlags::IN_ONLYDIR);
    }
}

fn wait(inotify: &Inotify) {
    let timeout = PollTimeout::try_from(SLOW).unwrap_or(PollTimeout::NONE);
    let _ = poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout);
    while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
}
