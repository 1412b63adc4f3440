//! The result cache that libcni keeps: where its files are, what stands in them. For sharing or taking over state.
//!
//! Pure: callers read and write the files, with temporary file and rename, as a reader may come at any time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::name::printable;
use crate::{CniError, CniResult, RawObject, Version, code};

#[cfg(test)]
mod tests;

/// Where libcni has it unless told otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/cni";
/// Of the folder: only its owner enters it.
pub const DIR_MODE: u32 = 0o700;
/// Of a file in it: only its owner reads it.
pub const FILE_MODE: u32 = 0o600;
const KIND: &str = "cniCacheV1";

/// The file of one attachment. All three names are needed, and none may leave the folder (CNI-CACHE-1, -5).
///
/// # Errors
/// If a name is empty or would leave the folder.
pub fn path(dir: &Path, network: &str, container: &str, ifname: &str) -> Result<PathBuf, CniError> {
    for (what, name) in [("network name", network), ("container id", container), ("interface name", ifname)] {
        if name.is_empty() || name.contains(['/', '\0']) {
            let msg = format!("{what} `{}` cannot be part of a cache file's name", printable(name));
            return Err(CniError::config(msg));
        }
    }
    Ok(dir.join("results").join(format!("{network}-{container}-{ifname}")))
}

/// One attachment as libcni remembers it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    kind: String,
    /// The sandbox.
    pub container_id: String,
    /// Bytes of the configuration list.
    #[serde(with = "bytes")]
    pub config: Vec<u8>,
    /// The interface in it.
    pub if_name: String,
    /// The network.
    pub network_name: String,
    /// The path of the network namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// `CNI_ARGS`, split.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::result::null_is_empty")]
    pub cni_args: Vec<(String, String)>,
    /// Values by capability, as the runtime passed them.
    #[serde(skip_serializing_if = "RawObject::is_empty", deserialize_with = "crate::result::null_is_empty")]
    pub capability_args: RawObject,
    /// What ADD answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
}

/// What a file of the cache holds.
#[derive(Clone, Debug)]
pub enum Cached {
    /// The whole entry.
    Entry(Box<Entry>),
    /// Before libcni 0.8 the file was the bare result (CNI-CACHE-3).
    BareResult(Box<RawValue>),
}

impl Cached {
    /// Reads what libcni wrote, in any of its formats.
    ///
    /// # Errors
    /// If the bytes are none of libcni's formats.
    pub fn parse(bytes: &[u8]) -> Result<Self, CniError> {
        let keys = RawObject::parse(bytes).map_err(|e| unreadable(&e.to_string()))?;
        match keys.get_as::<String>("kind") {
            Ok(Some(kind)) if kind == KIND => {
                let entry: Entry = serde_json::from_slice(bytes).map_err(|e| unreadable(&e.to_string()))?;
                Ok(Self::Entry(Box::new(entry)))
            }
            Ok(Some(kind)) => Err(unreadable(&format!("its kind is `{}`, not `{KIND}`", printable(&kind)))),
            _ => Ok(Self::BareResult(serde_json::from_slice(bytes).map_err(|e| unreadable(&e.to_string()))?)),
        }
    }

    /// The final ADD result in the version of the configuration it is used with (CNI-CACHE-4).
    ///
    /// # Errors
    /// If the remembered result cannot be read.
    pub fn result(&self, config: Version) -> Result<Option<Vec<u8>>, CniError> {
        let raw = match self {
            Self::Entry(entry) => entry.result.as_deref(),
            Self::BareResult(raw) => Some(raw.as_ref()),
        };
        raw.map(|raw| CniResult::parse(raw.get().as_bytes(), config)?.0.to_json(config)).transpose()
    }
}

impl Entry {
    /// The bytes for the file.
    pub fn to_json(&self) -> Vec<u8> {
        let entry = Self { kind: KIND.to_owned(), ..self.clone() };
        serde_json::to_vec(&entry).expect("strings, pairs and raw values always serialise")
    }
}

/// The attachments among the contents of the cache's files, of one container or of all. Files that are torn, of
/// another kind, or without names are no attachments; what a file is called does not matter (CNI-CACHE-6).
pub fn attachments<'a>(files: impl IntoIterator<Item = &'a [u8]>, container: Option<&str>) -> Vec<Entry> {
    let entry = |bytes: &[u8]| match Cached::parse(bytes) {
        Ok(Cached::Entry(entry)) => Some(*entry),
        _ => None,
    };
    let named = |e: &Entry| !(e.container_id.is_empty() || e.if_name.is_empty() || e.network_name.is_empty());
    let wanted = |e: &Entry| container.is_none_or(|id| e.container_id == id);
    files.into_iter().filter_map(entry).filter(|e| named(e) && wanted(e)).collect()
}

fn unreadable(why: &str) -> CniError {
    CniError::new(code::DECODE, format!("the cached result cannot be read: {why}"))
}

/// Go writes bytes as base64, and no bytes as `null`.
mod bytes {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let raw = Option::<String>::deserialize(d)?.unwrap_or_default();
        BASE64_STANDARD.decode(raw).map_err(D::Error::custom)
    }
}
