//! What root writes down at ADD, so that DEL knows the link again whatever the pod made of it (COMPAT-16, -17).
//!
//! A pod can change a link's name, alias and MAC address, and it can put another link in its place. It cannot change
//! which namespace it has, which index the kernel gave a link there, of which kind the link is, what is at its other
//! end, or what the hardware behind it is. A record holds only such facts, and the name that the host has for a device.
//!
//! A record is valid in the boot and in the host's namespace in which it was written. Any other counts as none: links
//! end with the boot.

pub(crate) mod lent;
pub(crate) mod made;
mod mark;
mod sweep;

use std::io;
use std::path::{Path, PathBuf};

use manifold_cni::CniError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::state_file::{self, Survives};
pub(crate) use mark::NetnsMark;

/// Below it, a folder for each kind of record.
const FOLDER: &str = "/var/lib/cni/manifold-links";
/// What a file system takes, less what a temporary name adds.
const NAME_MOST: usize = 240;

/// What all records have.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const KIND: &'static str;
    const SURVIVES: Survives;

    fn host(&self) -> &NetnsMark;
    /// Container, interface and whatever else tells it from others.
    fn key(&self) -> [&str; 3];
}

fn folder<R: Record>() -> PathBuf {
    Path::new(FOLDER).join(R::KIND)
}

/// No container id and no interface name has a colon, so different keys have different names. Hosts that share a disk,
/// as in tests, are told apart.
fn file<R: Record>(host: &NetnsMark, key: [&str; 3]) -> PathBuf {
    let [container, ifname, further] = key;
    let mut name = format!("{container}:{ifname}:{further}:{}", host.ino);
    if name.len() > NAME_MOST {
        let hash = Sha256::digest(&name);
        name = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    folder::<R>().join(name)
}

pub(crate) fn write<R: Record>(record: &R) -> Result<(), CniError> {
    sweep::once_a_boot::<R>(&folder::<R>(), record.host());
    let file = file::<R>(record.host(), record.key());
    let bytes = serde_json::to_vec(record).map_err(|error| CniError::failed(error.to_string()))?;
    state_file::write(&file, &bytes, R::SURVIVES).map_err(|error| broken("written", &file, &error))
}

/// The valid record of that key. One that cannot be understood counts as none.
pub(crate) fn read<R: Record>(host: &NetnsMark, key: [&str; 3]) -> Result<Option<R>, CniError> {
    let found = parse::<R>(&file::<R>(host, key))?;
    Ok(found.filter(|record| record.host() == host && record.key() == key))
}

fn parse<R: Record>(file: &Path) -> Result<Option<R>, CniError> {
    let bytes = state_file::read(file).map_err(|error| broken("read", file, &error))?;
    Ok(bytes.and_then(|bytes| {
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(file = %file.display(), %error, "a record is damaged"))
            .ok()
    }))
}

pub(crate) fn forget<R: Record>(host: &NetnsMark, key: [&str; 3]) -> Result<(), CniError> {
    let file = file::<R>(host, key);
    state_file::remove(&file).map_err(|error| broken("removed", &file, &error))
}

/// Removes what an ADD left that was killed while it wrote the record of that key.
pub(crate) fn remove_unfinished_write<R: Record>(host: &NetnsMark, key: [&str; 3]) {
    state_file::remove_unfinished_write(&file::<R>(host, key));
}

/// Every valid record of this host. Those of an earlier boot, or of an ended host of the same number, are removed on the
/// way.
pub(crate) fn all<R: Record>(host: &NetnsMark) -> Result<Vec<R>, CniError> {
    let folder = folder::<R>();
    state_file::remove_unfinished(&folder);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| broken("listed", &folder, &error))?,
    };
    let mut valid = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| broken("listed", &folder, &error))?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        // One that cannot be read must not stop the pods of all other devices.
        let read = parse::<R>(&path).inspect_err(|error| tracing::warn!(%error, "a record is passed over"));
        let Ok(Some(record)) = read else { continue };
        if record.host() == host {
            valid.push(record);
        } else if record.host().boot != host.boot || record.host().ino == host.ino {
            let _ = state_file::remove(&path); // It counts as none anyway.
        }
    }
    Ok(valid)
}

fn broken(what: &str, file: &Path, error: &io::Error) -> CniError {
    let text = format!(
        "the record of a link cannot be {what} (`{}`: {error}); make the folder writable, or free some space",
        file.display()
    );
    CniError::io(error, text)
}
