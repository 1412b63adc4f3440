//! What Multus left about a sandbox: its state file, and the results that libcni kept beside it. A pod that Multus
//! attached is taken down by these, whatever has become of Multus, the pod and its definitions.

use std::io;
use std::path::{Path, PathBuf};

use manifold_cni::cache::{self, Cached, Entry};
use manifold_cni::errno::is_passing_error;
use manifold_cni::{CniError, ContainerId, Detachment, IfName, NetworkList, NetworkName};

use crate::add::find;
use crate::multus_state::{self, Delegate};
use crate::shim::Shim;
use manifold_ledger::{Exact, Recorded, State};

/// A file of libcni's cache is far below this. Bytes.
const MOST_BYTES: u64 = 4 << 20;

/// The attachments of one sandbox in the order of ADD, and the files to forget when they are gone. An attachment whose
/// plugin is not there any more is an error of its own; the others are taken down all the same.
#[derive(Debug)]
pub struct Left {
    pub attachments: Vec<Result<Recorded, CniError>>,
    files: Vec<PathBuf>,
}

/// `None` when Multus never heard of the sandbox. A state file that cannot be used is not "nothing": libcni's results
/// are taken then (MLT-CACHE-5), and without those it is an error.
pub fn of(shim: &Shim, at: &Detachment) -> Result<Option<Left>, CniError> {
    let results = shim.config.cni_dir.join("results");
    let state = multus_state::path(&shim.config.cni_dir, &at.container);
    let cached = match multus_state::load(&shim.config.cni_dir, &at.container, &at.ifname) {
        Ok(None) => return Ok(None),
        Ok(Some(delegates)) => {
            let attachments = delegates.iter().map(|d| of_delegate(shim, at, &results, d)).collect();
            let mut files: Vec<PathBuf> =
                delegates.iter().filter_map(|d| cache_file(&results, at, d)).collect();
            files.push(state);
            return Ok(Some(Left { attachments, files }));
        }
        Err(bad) if bad.passes => return Err(bad.into()),
        Err(bad) => {
            tracing::warn!("{bad}");
            of_cache(shim, at, &results)?.ok_or_else(|| CniError::from(bad))?
        }
    };
    let (attachments, mut files): (Vec<_>, Vec<_>) = cached.into_iter().unzip();
    files.push(state);
    Ok(Some(Left { attachments, files }))
}

/// The networks of a sandbox that Multus attached, each with its interface: none where Multus never heard of it.
pub fn networks(
    shim: &Shim,
    container: &ContainerId,
    first: &IfName,
) -> Result<Vec<(NetworkName, IfName)>, CniError> {
    match multus_state::load(&shim.config.cni_dir, container, first) {
        Ok(left) => {
            let named = |d: Delegate| Some((d.list.name?, d.ifname));
            Ok(left.into_iter().flatten().filter_map(named).collect())
        }
        Err(bad) if bad.passes => Err(bad.into()),
        Err(bad) => {
            let results = shim.config.cni_dir.join("results");
            let found = cached(&results, container).map_err(|e| unread(&results, &e))?;
            let named = |(entry, _): &(Entry, PathBuf)| {
                Some((entry.network_name.parse::<NetworkName>().ok()?, entry.if_name.parse::<IfName>().ok()?))
            };
            let all = found.iter().map(named).collect::<Option<Vec<_>>>();
            all.filter(|all| !all.is_empty()).ok_or_else(|| bad.into())
        }
    }
}

impl Left {
    /// Removes the files: the state file last, as it says that there is something to do.
    pub fn forget(&self) -> Result<(), CniError> {
        for file in &self.files {
            match std::fs::remove_file(file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    let msg = format!("`{}`, which Multus left, cannot be removed: {e}", file.display());
                    return Err(CniError::failed(msg));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn of_delegate(
    shim: &Shim,
    at: &Detachment,
    results: &Path,
    delegate: &Delegate,
) -> Result<Recorded, CniError> {
    let mut recorded = recorded(shim, at, &delegate.display, &delegate.list)?;
    recorded.ifname = delegate.ifname.clone();
    recorded.default = delegate.default;
    recorded.device_info_file = delegate.device.as_ref().map(|_| device_info_file(shim, at, delegate));
    recorded.runtime = delegate.runtime.iter().map(|(k, v)| (k.clone(), Exact::from(v.as_ref()))).collect();
    // DEL does without a result that is gone or torn (CNI-RUN-DEL-3).
    let read = |file: PathBuf| bounded(&file).map_err(|e| unread(&file, &e));
    let cached = cache_file(results, at, delegate).map(read).transpose()?.flatten();
    let cached = cached.and_then(|b| Cached::parse(&b).ok());
    recorded.result = cached.and_then(|c| c.result(recorded.version).ok().flatten()).map(Exact);
    Ok(recorded)
}

/// What Multus calls the description of an attachment's device (MLT-EXE-8).
fn device_info_file(shim: &Shim, at: &Detachment, delegate: &Delegate) -> PathBuf {
    let name = format!("{}-{}_{}", delegate.display, at.container, delegate.ifname);
    shim.config.device_info_dir.join("cni").join(name.replace('/', "-"))
}

fn cache_file(results: &Path, at: &Detachment, delegate: &Delegate) -> Option<PathBuf> {
    let network = delegate.list.name.as_ref()?;
    let folder = results.parent()?;
    cache::path(folder, network.as_str(), at.container.as_str(), delegate.ifname.as_str()).ok()
}

/// An attachment by one of libcni's files, and the file.
type Cache = (Result<Recorded, CniError>, PathBuf);

/// The attachments of the sandbox by the contents of libcni's files, each with its file.
fn of_cache(shim: &Shim, at: &Detachment, results: &Path) -> Result<Option<Vec<Cache>>, CniError> {
    let one = |entry: &Entry| -> Result<Recorded, CniError> {
        let list = NetworkList::parse(&entry.config)?;
        let mut recorded = recorded(shim, at, &entry.network_name, &list)?;
        recorded.ifname =
            entry.if_name.parse().map_err(|e| CniError::failed(format!("libcni's result: {e}")))?;
        recorded.result = entry.result.as_ref().map(|raw| Exact::from(raw.as_ref()));
        Ok(recorded)
    };
    let found = cached(results, &at.container).map_err(|e| unread(results, &e))?;
    let found: Vec<_> = found.into_iter().map(|(entry, file)| (one(&entry), file)).collect();
    Ok((!found.is_empty()).then_some(found))
}

/// What libcni keeps of the sandbox, whatever its files are called.
fn cached(results: &Path, container: &ContainerId) -> io::Result<Vec<(Entry, PathBuf)>> {
    let mut found = Vec::new();
    let Some(files) = unless_passing(std::fs::read_dir(results))? else { return Ok(found) };
    for file in files {
        let file = file?.path();
        let Some(bytes) = bounded(&file)? else { continue };
        let entries = cache::attachments([bytes.as_slice()], Some(container.as_str()));
        found.extend(entries.into_iter().map(|entry| (entry, file.clone())));
    }
    Ok(found)
}

/// `None` for what is not there or none of libcni's.
fn bounded(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(meta) = unless_passing(file.symlink_metadata())? else { return Ok(None) };
    let theirs = meta.is_file() && meta.len() <= MOST_BYTES && multus_state::foreign(&meta).is_none();
    if theirs { unless_passing(std::fs::read(file)) } else { Ok(None) }
}

/// What the system refuses only now must not count as a file that is not there.
fn unless_passing<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if is_passing_error(&e) => Err(e),
        other => Ok(other.ok()),
    }
}

fn unread(place: &Path, e: &io::Error) -> CniError {
    CniError::io(e, format!("`{}`, which Multus left, cannot be read: {e}", place.display()))
}

fn recorded(shim: &Shim, at: &Detachment, display: &str, list: &NetworkList) -> Result<Recorded, CniError> {
    let network: NetworkName = list.require_name()?.clone();
    Ok(Recorded {
        display: display.to_owned(),
        network,
        ifname: at.ifname.clone(),
        default: false,
        version: list.version(),
        disable_check: list.disable_check,
        disable_gc: list.disable_gc,
        plugins: find::of_list(shim, list)?,
        runtime: Default::default(),
        args_add: at.args.to_string(),
        args_del: at.args.to_string(),
        device_info_file: None,
        state: State::Attached,
        result: None,
        took: None,
    })
}
