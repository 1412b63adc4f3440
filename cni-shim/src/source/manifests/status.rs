//! Writes the status of one pod beside the manifests, whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::{Kind, PodRef, SourceError};

/// Where the statuses of these manifests are.
pub(super) fn folder(manifests: &Path) -> PathBuf {
    if manifests.is_dir() {
        return manifests.join(".status");
    }
    let mut name = manifests.file_name().unwrap_or_default().to_owned();
    name.push(".status");
    manifests.with_file_name(name)
}

pub(super) fn write(manifests: &Path, who: &PodRef, text: &str) -> Result<(), SourceError> {
    let folder = folder(manifests);
    // No name of Kubernetes has `_`, so no two pods share a file.
    let file = folder.join(format!("{}_{}.json", who.namespace, who.name));
    replace(&folder, &file, text).map_err(|e| {
        let what = format!(
            "the status of pod `{who}` cannot be written to `{}` ({e}); free some space or make the folder writable",
            file.display()
        );
        SourceError::new(Kind::Io, what)
    })
}

/// Readers see the old status or the new one. It need not outlive a power cut: no pod does.
fn replace(folder: &Path, file: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let mut out = options.open(&temporary)?;
    let done = writeln!(out, "{text}").and_then(|()| fs::rename(&temporary, file));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}
