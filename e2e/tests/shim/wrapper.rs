//! Scripts that run the executable under circumstances that a test cannot wait for, or must not make for all: another
//! boot, a later hour, another folder in the machine's place, a signal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{Node, manifold};

impl Node<'_> {
    /// The machine seems to have booted anew.
    pub(crate) fn in_another_boot(&self, boot_id: &str) -> PathBuf {
        let file = self.folder("boot_id");
        fs::write(&file, format!("{boot_id}\n")).unwrap();
        self.with_mount(&file, Path::new("/proc/sys/kernel/random/boot_id"))
    }

    /// Something of the node lies in the place of something of the machine.
    pub(crate) fn with_mount(&self, ours: &Path, place: &Path) -> PathBuf {
        self.script(&format!(
            "exec unshare --mount --propagation private sh -c 'mount --bind {} {} && exec {}'",
            ours.display(),
            place.display(),
            manifold().display()
        ))
    }

    /// So many seconds have passed since the machine booted, beside those that have.
    pub(crate) fn later(&self, seconds: u64) -> PathBuf {
        self.script(&format!("exec unshare --time --boottime {seconds} --fork {}", manifold().display()))
    }

    /// A shell script in the executable's place.
    pub(crate) fn script(&self, text: &str) -> PathBuf {
        static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.folder(&format!("script-{number}"));
        write(&path, &format!("#!/bin/sh\n{text}\n"));
        path
    }
}

/// Through another process: had this one the file open for writing while a thread forks, nobody could execute it.
pub(crate) fn write(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    let made = Command::new("install").args(["-m", "755"]).args([draft.as_path(), path]).status().unwrap();
    assert!(made.success());
    fs::remove_file(draft).unwrap();
}
