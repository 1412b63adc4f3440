//! Every plugin of every network is found before anything is touched, and every interface name must be free.

use std::path::{Path, PathBuf};

use manifold_cni::{CniError, NetworkList, NotFound, PluginConf, PluginType, code};
use manifold_net::{Net, Netns};
use manifold_plan::{Planned, Pod, Refusal};

use crate::config::Choice;
use crate::shim::Shim;
use manifold_ledger::executable::{ExecutableFile, FileIdentity};
use manifold_ledger::{Exact, Found, RecordedPlugin};

/// The plugins of one attachment as the ledger keeps them: which one, and its exact bytes.
pub(crate) fn plugins(
    shim: &Shim,
    planned: &Planned,
    pod: Option<&Pod>,
) -> Result<Vec<RecordedPlugin>, CniError> {
    let found = |conf: &PluginConf| {
        let told = |e: NotFound| refusal(shim, planned, pod, e);
        let ipam = ipam(shim, conf).map_err(told)?;
        find(shim, &conf.kind).map(|found| recorded(shim, conf, found, ipam)).map_err(told)
    };
    planned.list.plugins.iter().map(found).collect()
}

/// The plugins of a list that somebody else planned.
pub(crate) fn of_list(shim: &Shim, list: &NetworkList) -> Result<Vec<RecordedPlugin>, CniError> {
    // Which files ran ADD is unknown, so the record names none as unchanged since then.
    let unknown = |plugin: RecordedPlugin| RecordedPlugin { executables: Vec::new(), ..plugin };
    let found =
        |conf: &PluginConf| find(shim, &conf.kind).map(|found| unknown(recorded(shim, conf, found, None)));
    list.plugins.iter().map(found).collect::<Result<_, NotFound>>().map_err(CniError::from)
}

fn recorded(shim: &Shim, conf: &PluginConf, found: Found, ipam: Option<PathBuf>) -> RecordedPlugin {
    // An executed plugin looks for its IPAM plugin on disk, whatever is bundled here.
    let ipam = ipam.or_else(|| {
        let kind = found.path().and_then(|_| ipam_kind(conf))?;
        on_disk(shim, &kind).ok()
    });
    let executed = found.path().map(Path::to_owned).into_iter().chain(ipam);
    let executables = executed.filter_map(|path| ExecutableFile::at(path).ok()).collect();
    RecordedPlugin { kind: conf.kind.clone(), found, config: Exact(conf.raw.to_vec()), executables }
}

/// The bundled plugin or the one on disk, as `plugins.bundled` says.
pub(crate) fn find(shim: &Shim, kind: &PluginType) -> Result<Found, NotFound> {
    let ours = || manifold_plugins::bundled(kind.as_str()).map(|_| Found::Bundled);
    let disk = || on_disk(shim, kind).map(Found::Executed);
    match shim.config.bundled.choice(kind) {
        Choice::BundledThenDisk => ours().map_or_else(disk, Ok),
        Choice::DiskThenBundled => disk().or_else(|e| ours().ok_or(e)),
        Choice::DiskOnly => disk(),
    }
}

/// Never this executable under another name than a plugin's: there it reads a whole entry, with folders and credentials, from
/// what a definition's author wrote.
fn on_disk(shim: &Shim, kind: &PluginType) -> Result<PathBuf, NotFound> {
    let path = manifold_cni::find(kind, &shim.folders)?;
    if manifold_plugins::bundled(kind.as_str()).is_none() && is_ourselves(&path) {
        let why = "is this plugin itself, which would call itself forever".to_owned();
        return Err(NotFound::Unsafe { kind: kind.clone(), path, why });
    }
    Ok(path)
}

fn is_ourselves(path: &Path) -> bool {
    let (own, other) = (FileIdentity::of(Path::new("/proc/self/exe")), FileIdentity::of(path));
    matches!((own, other), (Ok(own), Ok(other)) if (own.device, own.inode) == (other.device, other.inode))
}

/// An interface plugin runs its IPAM plugin itself; that one must be there too. `None`: it is bundled, or there is none.
fn ipam(shim: &Shim, conf: &PluginConf) -> Result<Option<PathBuf>, NotFound> {
    match ipam_kind(conf) {
        Some(kind) if manifold_plugins::bundled(kind.as_str()).is_none() => on_disk(shim, &kind).map(Some),
        _ => Ok(None),
    }
}

fn ipam_kind(conf: &PluginConf) -> Option<PluginType> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: Option<PluginType>,
    }
    // A malformed `ipam` is the plugin's own error to tell, with its own words.
    conf.raw.get_as::<Named>("ipam").ok().flatten().and_then(|ipam| ipam.kind)
}

fn refusal(shim: &Shim, planned: &Planned, pod: Option<&Pod>, e: NotFound) -> CniError {
    match (&e, pod) {
        (NotFound::Missing { kind, .. }, Some(pod)) => {
            Refusal::plugin_missing(&planned.display, kind, &planned.ifname, pod, &shim.folders).into()
        }
        _ => CniError::from(e).context(&format!("network `{}`", planned.display)),
    }
}

/// An interface of that name in the pod would be taken for ours, so it is an error before anything is made.
pub(crate) fn names_free(netns: &Netns, planned: &[Planned]) -> Result<(), CniError> {
    let inside = Net::inside(netns).map_err(|e| CniError::new(code::TRY_AGAIN, e.to_string()))?;
    for attachment in planned {
        let name = attachment.ifname.as_str();
        if inside.link(name).map_err(|e| CniError::new(code::TRY_AGAIN, e.to_string()))?.is_some() {
            let msg = format!(
                "network `{}` asks for interface `{name}`, but the pod already has an interface of that name",
                attachment.display
            );
            return Err(CniError::config(msg)
                .details("nothing was touched; fix: ask for another interface name in the annotation"));
        }
    }
    Ok(())
}
