//! The state file that Multus leaves for a pod, so that DEL can take such pods over (F-POD-7, MLT-CACHE-1).
//!
//! In: the bytes of `<cniDir>/<container id>` and the interface name that the runtime gave. Out: the delegates in the
//! order of ADD, the default network first, each with its whole configuration. Port mappings and bandwidth are not in
//! such a file (MLT-CACHE-2), so portmap must clean up by its key.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifold_cni::config::NetworkList;
use manifold_cni::errno::is_passing_error;
use manifold_cni::json::strict;
use manifold_cni::name::printable;
use manifold_cni::{CniError, ContainerId, IfName, code};
use nix::fcntl::OFlag;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

/// Larger files are none of Multus'.
const MAX_BYTES: u64 = 16 << 20;

/// One network of the pod, as Multus attached it.
#[derive(Clone, Debug)]
pub struct Delegate {
    /// `namespace/nad`, or the name of the CNI configuration.
    pub display: String,
    pub ifname: IfName,
    /// The first one: it is the pod's default network.
    pub default: bool,
    pub list: NetworkList,
    /// Values for `runtimeConfig`, before each plugin's capabilities choose among them.
    pub runtime: BTreeMap<String, Box<RawValue>>,
    /// The device that the network got; there may be a device-info file for it.
    pub device: Option<String>,
}

/// A state file that cannot be used. DEL must not take it for "nothing to do".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state file of Multus{} cannot be used: {why}", place(.path.as_deref()))]
pub struct BadState {
    pub path: Option<PathBuf>,
    pub why: String,
    /// The system did not let us read it now, which says nothing of what stands in it.
    pub passes: bool,
}

fn place(path: Option<&Path>) -> String {
    path.map(|p| format!(" `{}`", p.display())).unwrap_or_default()
}

impl From<BadState> for CniError {
    fn from(e: BadState) -> Self {
        if e.passes {
            return Self::new(code::TRY_AGAIN, e.to_string())
                .details("fix: none needed; the runtime retries");
        }
        Self::new(code::FAILED, e.to_string()).details(
            "fix: check what the pod left behind (addresses, host interfaces), then remove that file",
        )
    }
}

/// Where Multus keeps the file of a sandbox.
pub fn path(cni_dir: &Path, container: &ContainerId) -> PathBuf {
    cni_dir.join(container.as_str())
}

/// Reads and parses the file of a sandbox; `None` when Multus left none.
pub fn load(
    cni_dir: &Path,
    container: &ContainerId,
    ifname: &IfName,
) -> Result<Option<Vec<Delegate>>, BadState> {
    let path = path(cni_dir, container);
    let parsed = match read(&path) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => parse(&bytes, ifname),
        Err(e) => Err(BadState { passes: is_passing_error(&e), ..bad(e.to_string()) }),
    };
    parsed.map(Some).map_err(|e| BadState { path: Some(path), ..e })
}

/// Only a plain file of ours is read; a link at its name is an error, not followed (S-18).
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match std::fs::File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if let Some(why) = foreign(&meta) {
        return Err(io::Error::other(why));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(Some(bytes))
}

/// Why a file cannot be what Multus or libcni left: theirs are root's alone, and what stands in them is executed.
pub(crate) fn foreign(meta: &Metadata) -> Option<String> {
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Some(format!("it belongs to user {}", meta.uid()));
    }
    (meta.mode() & 0o022 != 0).then(|| "other users may write it".to_owned())
}

/// The keys of one delegate that matter for DEL, under Multus' names.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "Name", default)]
    name: String,
    /// The whole configuration, base64. Old releases leave only the two lossy forms below.
    #[serde(rename = "Bytes", default)]
    bytes: Option<String>,
    #[serde(rename = "Conf", borrow, default)]
    conf: Option<&'a RawValue>,
    #[serde(rename = "ConfList", borrow, default)]
    conf_list: Option<&'a RawValue>,
    #[serde(rename = "ifnameRequest", default)]
    ifname: String,
    #[serde(rename = "macRequest", default)]
    mac: String,
    #[serde(rename = "infinibandGUIDRequest", default)]
    guid: String,
    #[serde(rename = "ipRequest", default)]
    ips: Option<Vec<String>>,
    #[serde(rename = "deviceID", default)]
    device: String,
}

/// Reads the list of delegates. `ifname` is what the runtime calls the pod's first interface.
pub fn parse(bytes: &[u8], ifname: &IfName) -> Result<Vec<Delegate>, BadState> {
    strict(bytes).map_err(|e| bad(e.to_string()))?;
    let wires: Vec<Wire<'_>> = serde_json::from_slice(bytes).map_err(|e| bad(printable(&e.to_string())))?;
    if wires.is_empty() {
        return Err(bad("it names no network".to_owned()));
    }
    let numbered = wires.into_iter().enumerate();
    numbered
        .map(|(n, wire)| delegate(n, &wire, ifname).map_err(|why| bad(format!("network {}: {why}", n + 1))))
        .collect()
}

fn bad(why: String) -> BadState {
    BadState { path: None, why, passes: false }
}

fn delegate(n: usize, wire: &Wire<'_>, first: &IfName) -> Result<Delegate, String> {
    let list = NetworkList::parse(&configuration(wire)?).map_err(|e| e.to_string())?;
    // The name that Multus shows may be `namespace/nad`; a network is named by the last part.
    let fallback = wire.name.rsplit('/').next().and_then(|name| name.parse().ok());
    let list = match fallback {
        Some(name) => list.with_name_if_missing(&name),
        None => list,
    };
    let name = list.name.as_ref().ok_or("its configuration has no name")?;
    let display = if wire.name.is_empty() { name.to_string() } else { wire.name.clone() };
    Ok(Delegate {
        display,
        ifname: interface(n, &wire.ifname, first)?,
        default: n == 0,
        runtime: if n == 0 { BTreeMap::new() } else { runtime(wire) },
        device: Some(wire.device.clone()).filter(|d| !d.is_empty()),
        list,
    })
}

fn configuration(wire: &Wire<'_>) -> Result<Vec<u8>, String> {
    if let Some(bytes) = wire.bytes.as_deref().filter(|b| !b.is_empty()) {
        return STANDARD.decode(bytes).map_err(|e| format!("`Bytes` is not base64: {e}"));
    }
    let has_plugins = |raw: &&RawValue| NetworkList::parse(raw.get().as_bytes()).is_ok();
    let lossy = [wire.conf_list, wire.conf].into_iter().flatten().find(has_plugins);
    lossy.map(|raw| raw.get().as_bytes().to_vec()).ok_or_else(|| "it has no configuration".to_owned())
}

/// Multus numbers by the place in the whole list, so a network with a name of its own uses its number up (MLT-EXE-2).
fn interface(n: usize, asked: &str, first: &IfName) -> Result<IfName, String> {
    match (n, asked) {
        (0, "") => Ok(first.clone()),
        (_, "") => format!("net{n}").parse().map_err(|e| format!("{e}")),
        (_, name) => name.parse().map_err(|e| format!("{e}")),
    }
}

fn runtime(wire: &Wire<'_>) -> BTreeMap<String, Box<RawValue>> {
    let texts = [("mac", &wire.mac), ("infinibandGUID", &wire.guid), ("deviceID", &wire.device)];
    let mut values: BTreeMap<String, Box<RawValue>> = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .filter_map(|(key, text)| Some((key.to_owned(), to_raw_value(text).ok()?)))
        .collect();
    if let Some(ips) = wire.ips.as_ref().filter(|ips| !ips.is_empty()) {
        values.extend(to_raw_value(ips).ok().map(|raw| ("ips".to_owned(), raw)));
    }
    values
}

#[cfg(test)]
#[path = "multus_state_tests.rs"]
mod tests;
