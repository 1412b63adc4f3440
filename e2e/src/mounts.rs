//! A folder in the place of one of the machine's, for what runs inside and for nobody else.

use std::io;
use std::path::Path;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::netns::on_own_thread;

/// Runs a closure on a thread that finds `folder` where the machine has `place`; so do the processes that it starts.
/// Namespaces that are mounted meanwhile, by others, are not seen inside.
pub fn with_folder_over<T: Send>(
    place: &Path,
    folder: &Path,
    act: impl FnOnce() -> T + Send,
) -> anyhow::Result<T> {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        // Nothing of it must be seen by the machine.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        mount(Some(folder), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok::<T, io::Error>(act())
    })
    .with_context(|| format!("cannot put `{}` in the place of `{}`", folder.display(), place.display()))
}
