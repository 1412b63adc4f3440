//! What an interface was like before, for DEL: a file per attachment, in the form that the reference reads too
//! (PLG-TUNING-6, -8).
//!
//! The network stands in it besides, so that GC tells its own files from those of others.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::{Link, LinkChange, Mac};
use serde::{Deserialize, Serialize};

use crate::state_file::{self, Survives};

/// Only what is about to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Backup {
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promisc: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    allmulti: Option<bool>,
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    tx_queue_len: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    network: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What stood in the file before, for an ADD that is taken back.
#[derive(Debug)]
pub(super) struct Older(Option<Vec<u8>>);

pub(super) fn file(folder: &Path, container: &str, ifname: &str) -> PathBuf {
    folder.join(format!("{container}_{ifname}.json"))
}

impl Backup {
    pub(super) fn of(link: &Link, wanted: &LinkChange<'_>, network: &NetworkName) -> Self {
        Self {
            mac: wanted.mac.and(link.mac).map(|mac| mac.to_string()).unwrap_or_default(),
            promisc: wanted.promisc.map(|_| link.promisc),
            mtu: wanted.mtu.map_or(0, |_| link.mtu),
            allmulti: wanted.allmulti.map(|_| link.allmulti),
            tx_queue_len: wanted.tx_queue_len.map(|_| link.tx_queue_len),
            network: network.to_string(),
        }
    }

    /// `None` as well for a file that cannot be understood: then nothing can be restored.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, CniError> {
        Ok(read(file)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(super) fn change(&self) -> LinkChange<'static> {
        LinkChange {
            mac: self.mac.parse::<manifold_plugin_conf::Mac>().ok().map(|mac| Mac(mac.octets())),
            promisc: self.promisc,
            mtu: (self.mtu != 0).then_some(self.mtu),
            allmulti: self.allmulti,
            tx_queue_len: self.tx_queue_len,
            ..LinkChange::default()
        }
    }

    /// Two of these plugins may stand in one list: what the first of them found is what DEL restores.
    pub(super) fn write(&self, file: &Path) -> Result<Older, CniError> {
        let older = read(file)?;
        let first: Option<Self> = older.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let whole = first.map_or_else(|| self.clone(), |first| first.completed(self));
        let bytes = serde_json::to_vec(&whole).expect("texts and numbers always serialise");
        state_file::write(file, &bytes, Survives::Kill).map_err(|error| unwritten(file, &error))?;
        Ok(Older(older))
    }

    fn completed(self, later: &Self) -> Self {
        Self {
            mac: if self.mac.is_empty() { later.mac.clone() } else { self.mac },
            promisc: self.promisc.or(later.promisc),
            mtu: if self.mtu == 0 { later.mtu } else { self.mtu },
            allmulti: self.allmulti.or(later.allmulti),
            tx_queue_len: self.tx_queue_len.or(later.tx_queue_len),
            network: later.network.clone(),
        }
    }
}

impl Older {
    pub(super) fn put_back(&self, file: &Path) -> Result<(), CniError> {
        match &self.0 {
            Some(bytes) => {
                state_file::write(file, bytes, Survives::Kill).map_err(|error| unwritten(file, &error))
            }
            None => remove(file),
        }
    }
}

/// A file that cannot be read now is no file that is not there: what DEL has to restore stands in it.
fn read(file: &Path) -> Result<Option<Vec<u8>>, CniError> {
    match state_file::read(file) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        other => other.map_err(|error| {
            CniError::io(&error, format!("the backup `{}` cannot be read ({error})", file.display()))
        }),
    }
}

/// A file that is not there is removed already.
pub(super) fn remove(file: &Path) -> Result<(), CniError> {
    match fs::remove_file(file) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let text = format!("the backup `{}` cannot be removed ({error})", file.display());
            Err(CniError::io(&error, text))
        }
        _ => Ok(()),
    }
}

/// Removes the files of this network's attachments that are not in `keep`.
pub(super) fn collect(folder: &Path, network: &NetworkName, keep: &[AttachmentId]) -> Result<(), CniError> {
    state_file::remove_unfinished(folder);
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let kept: Vec<PathBuf> = keep.iter().map(|id| file(folder, &id.container, &id.ifname)).collect();
    let stale = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !kept.contains(path) && is_of(path, network));
    stale.map(|path| remove(&path)).fold(Ok(()), Result::and)
}

/// One that cannot be read now is the next GC's.
fn is_of(path: &Path, network: &NetworkName) -> bool {
    let is_ours = |saved: Backup| saved.network == network.as_str();
    Backup::read(path).ok().flatten().is_some_and(is_ours)
}

fn unwritten(file: &Path, error: &io::Error) -> CniError {
    let text = format!("the interface's attributes cannot be kept in `{}` ({error})", file.display());
    CniError::io(error, text)
}
