//! A signature over the checksums, by an SSH key: `ssh-keygen` is on every machine that has git.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

/// Says what a signature is for, so that one made for something else is not taken for it.
const NAMESPACE: &str = "manifold-release";
const VARIABLE: &str = "MANIFOLD_SIGNING_KEY";

/// A private key, in a file that only its owner reads.
#[derive(Debug)]
pub(super) enum Key {
    File(PathBuf),
    Text(NamedTempFile),
}

impl Key {
    /// `MANIFOLD_SIGNING_KEY` is the path of a key, or the key itself, as a workflow's secret is.
    pub(super) fn of_environment() -> anyhow::Result<Option<Self>> {
        let given = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
        given.map(|value| Self::parse(&value)).transpose()
    }

    pub(super) fn parse(value: &str) -> anyhow::Result<Self> {
        if !value.starts_with("-----BEGIN") {
            return Ok(Self::File(value.into()));
        }
        let mut file = NamedTempFile::new().context("cannot make a file for the key")?;
        writeln!(file, "{}", value.trim_end()).context("cannot write the key")?;
        Ok(Self::Text(file))
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Text(file) => file.path(),
        }
    }
}

/// The path of the signature, `FILE.sig`.
pub(super) fn sign(key: &Key, file: &Path) -> anyhow::Result<PathBuf> {
    let signature = PathBuf::from(format!("{}.sig", file.display()));
    let _ = fs::remove_file(&signature);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key.path()).arg(file);
    let out = command.stdin(Stdio::null()).output().context("`ssh-keygen` cannot be run")?;
    if !out.status.success() {
        bail!("the key of {VARIABLE} cannot sign: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(signature)
}

/// What a user does; SECURITY.md has the same command.
#[cfg(test)]
pub(super) fn is_valid(file: &Path, signature: &Path, public_key: &Path) -> anyhow::Result<bool> {
    let signers = NamedTempFile::new()?;
    let key = fs::read_to_string(public_key)?;
    fs::write(signers.path(), format!("release@manifold {key}"))?;
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", NAMESPACE, "-I", "release@manifold", "-f"]).arg(signers.path());
    let out = command.arg("-s").arg(signature).stdin(fs::File::open(file)?).output()?;
    Ok(out.status.success())
}
