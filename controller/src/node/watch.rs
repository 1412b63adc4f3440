//! Tells when something in a folder changes, and from time to time without that: what inotify misses (a folder that is
//! made anew, an overlay that does not tell) is found by the slow look.
//!
//! A node has few instances of inotify for all processes of a user. While none is to be had, the folders are looked at
//! often instead: the node agent does not end for that.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// What comes at once is told once.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often is looked without being told.
const SLOW: Duration = Duration::from_secs(10);
/// The same where nobody tells.
const BLIND: Duration = Duration::from_secs(2);

/// Calls `wake` from a thread of its own for as long as the process runs. `wake` says whether to go on.
pub fn folders(paths: Vec<PathBuf>, wake: impl Fn() -> bool + Send + 'static) -> anyhow::Result<()> {
    folders_of(move || paths.clone(), wake)
}

/// The same of folders that are other ones from time to time.
pub fn folders_of(
    paths: impl Fn() -> Vec<PathBuf> + Send + 'static,
    wake: impl Fn() -> bool + Send + 'static,
) -> anyhow::Result<()> {
    let make = || Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
    folders_by(make, BLIND, paths, wake)
}

fn folders_by(
    mut make: impl FnMut() -> nix::Result<Inotify> + Send + 'static,
    blind: Duration,
    paths: impl Fn() -> Vec<PathBuf> + Send + 'static,
    wake: impl Fn() -> bool + Send + 'static,
) -> anyhow::Result<()> {
    let watch = move || {
        let (mut inotify, mut told) = (None, false);
        loop {
            if inotify.is_none() {
                inotify = make().inspect_err(|why| warn_once(*why, &paths(), &mut told)).ok();
            }
            match &inotify {
                Some(inotify) => {
                    look_at(inotify, &paths());
                    wait(inotify);
                }
                None => sleep(blind),
            }
            if !wake() {
                return;
            }
            sleep(TOGETHER);
        }
    };
    std::thread::Builder::new()
        .name("folders".to_owned())
        .spawn(watch)
        .context("a thread cannot be started")?;
    Ok(())
}

fn warn_once(why: nix::errno::Errno, paths: &[PathBuf], told: &mut bool) {
    if !std::mem::replace(told, true) {
        tracing::warn!(
            ?paths,
            "changes cannot be watched ({why}), so the folders are checked every {BLIND:?}; raise `fs.inotify.max_user_instances`"
        );
    }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use nix::errno::Errno;

    use super::*;

    #[test]
    fn without_inotify_folders_are_looked_at_often_and_it_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (say, woken) = mpsc::channel();
        let mut left = 2;
        let make = move || {
            left -= 1;
            if left >= 0 { Err(Errno::EMFILE) } else { Inotify::init(InitFlags::IN_NONBLOCK) }
        };
        let (begin, path) = (Instant::now(), dir.path().to_owned());
        folders_by(make, Duration::from_millis(1), move || vec![path.clone()], move || say.send(()).is_ok())
            .unwrap();
        for _ in 0..2 {
            woken.recv_timeout(SLOW / 2).unwrap();
        }
        // From now on it is told, so what comes sooner than the slow look comes from a change.
        let told = std::iter::repeat_with(|| {
            std::fs::write(dir.path().join("x"), "").unwrap();
            woken.recv_timeout(Duration::from_millis(100)).is_ok()
        });
        let soon = told.take_while(|_| begin.elapsed() < SLOW * 9 / 10).any(|told| told);
        assert!(soon);
    }
}
