//! Writes the status of one pod beside the manifests, whole or not at all.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use manifold_ledger::durable;

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

/// Readers see the old status or the new one. It need not outlive a power cut: no pod does. What a killed writer leaves is
/// removed by a later one, whichever pod it was of.
fn replace(folder: &Path, file: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = file.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidFilename)?;
    durable::put_for_now(folder, name, format!("{text}\n").as_bytes(), 0o600)
}
