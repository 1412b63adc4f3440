//! SHA-256 of files, in the format of `sha256sum`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// Over all other files of a release.
pub(super) const FILE: &str = "SHA256SUMS";

/// A file of a release, and the hash of its bytes in hexadecimal digits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileDigest {
    pub(super) name: String,
    pub(super) sha256: String,
}

pub(super) fn digests(files: &[PathBuf]) -> anyhow::Result<Vec<FileDigest>> {
    let digest = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileDigest { name, sha256: sha256(&bytes) })
    };
    files.iter().map(digest).collect()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn text(digests: &[FileDigest]) -> String {
    digests.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect()
}
