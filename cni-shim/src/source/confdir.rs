//! Reads network configurations from the node's disk, for the plan to choose from (MLT-DLG-1).
//!
//! Only reading: which of the files is the one is decided by `plan`. Sizes and counts are bounded, only regular
//! files are opened (a pipe in the folder does not hang the call), and names come back sorted.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{Kind, SourceError};

/// No network configuration is near this.
const FILE_MOST: u64 = 1 << 20;
const FILES_MOST: usize = 256;
const SUFFIXES: [&str; 3] = ["conf", "conflist", "json"];
/// The NAD `cluster-wide-network`, as the node agent mirrors it below the state folder.
const MIRROR: &str = "cluster-wide-network.json";

/// A configuration file: its name without folder, its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a value with `/` turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Every configuration of a folder, by file name.
    Folder(Vec<ConfFile>),
    File(ConfFile),
}

/// Reads a `clusterNetwork` or `defaultNetworks` value that is a path.
pub fn place(path: &Path) -> Result<Place, SourceError> {
    let meta = std::fs::metadata(path).map_err(|e| cannot("is not there", path, &e))?;
    if meta.is_dir() {
        return folder(path).map(Place::Folder);
    }
    let bytes = bounded(path)?;
    Ok(Place::File(ConfFile { name: file_name(path), bytes }))
}

/// Every `.conf`, `.conflist` and `.json` of a folder, by file name. A folder that is missing holds none.
pub fn folder(path: &Path) -> Result<Vec<ConfFile>, SourceError> {
    read_all(path, &SUFFIXES)
}

/// The plugins of a list that lie beside it, in `<folder of the list>/<network name>/*.conf` (CNI 1.1).
pub fn beside(list: &Path, network: &str) -> Result<Vec<ConfFile>, SourceError> {
    if network.is_empty() || network.contains('/') || network == "." || network == ".." {
        return Ok(Vec::new());
    }
    read_all(&list.parent().unwrap_or(Path::new("/")).join(network), &["conf"])
}

/// The mirrored default network, JSON of the NAD, if the node agent wrote one.
pub fn mirror(state_dir: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    let path = state_dir.join(MIRROR);
    match bounded(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) if matches!(path.try_exists(), Ok(false)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn read_all(path: &Path, suffixes: &[&str]) -> Result<Vec<ConfFile>, SourceError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(cannot("cannot be listed", path, &e)),
    };
    let mut paths: Vec<PathBuf> = (entries.filter_map(|e| Some(e.ok()?.path())))
        .filter(|p| p.extension().is_some_and(|x| suffixes.iter().any(|s| x == *s)))
        // A link to nowhere and a folder named `x.conf` are no configurations.
        .filter(|p| p.is_file())
        .collect();
    paths.sort();
    if paths.len() > FILES_MOST {
        let what = format!(
            "folder `{}` holds {} configurations; keep at most {FILES_MOST} there",
            path.display(),
            paths.len()
        );
        return Err(SourceError::new(Kind::BadFile, what));
    }
    paths.iter().map(|p| Ok(ConfFile { name: file_name(p), bytes: bounded(p)? })).collect()
}

fn bounded(path: &Path) -> Result<Vec<u8>, SourceError> {
    regular(path, FILE_MOST).map_err(|why| cannot("cannot be read", path, &why))
}

/// The bytes of a regular file of bounded size.
pub(super) fn regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if !file.metadata()?.is_file() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(wrong(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

pub(super) fn cannot(what: &str, path: &Path, why: &io::Error) -> SourceError {
    let (kind, mend) = match why.kind() {
        io::ErrorKind::NotFound => (Kind::BadFile, "create it, or correct the path"),
        io::ErrorKind::InvalidInput => (Kind::BadFile, "put a configuration there"),
        _ => (Kind::Io, "make sure that root can read it"),
    };
    SourceError::new(kind, format!("`{}` {what} ({why}); {mend}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "confdir_tests.rs"]
mod tests;
