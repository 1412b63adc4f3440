//! Every plugin of every network is found before anything is touched, and every interface name must be free.

use manifold_cni::{CniError, NetworkList, NotFound, PluginConf, PluginType, code};
use manifold_net::{Net, Netns};
use manifold_plan::{Planned, Pod, Refusal};

use crate::config::Choice;
use crate::shim::Shim;
use manifold_ledger::{Exact, Found, RecordedPlugin};

/// The plugins of one attachment as the ledger keeps them: which one, and its exact bytes.
pub(crate) fn plugins(
    shim: &Shim,
    planned: &Planned,
    pod: Option<&Pod>,
) -> Result<Vec<RecordedPlugin>, CniError> {
    let found = |conf: &PluginConf| {
        let told = |e: NotFound| refusal(shim, planned, pod, e);
        ipam(shim, conf).map_err(told)?;
        let found = find(shim, &conf.kind).map_err(told)?;
        Ok(RecordedPlugin { kind: conf.kind.clone(), found, config: Exact(conf.raw.to_vec()) })
    };
    planned.list.plugins.iter().map(found).collect()
}

/// The plugins of a list that somebody else planned.
pub(crate) fn of_list(shim: &Shim, list: &NetworkList) -> Result<Vec<RecordedPlugin>, CniError> {
    let found = |conf: &PluginConf| {
        let found = find(shim, &conf.kind)?;
        Ok(RecordedPlugin { kind: conf.kind.clone(), found, config: Exact(conf.raw.to_vec()) })
    };
    list.plugins.iter().map(found).collect::<Result<_, NotFound>>().map_err(CniError::from)
}

/// The bundled plugin or the one on disk, as `plugins.bundled` says.
pub(crate) fn find(shim: &Shim, kind: &PluginType) -> Result<Found, NotFound> {
    let ours = || manifold_plugins::bundled(kind.as_str()).map(|_| Found::Bundled);
    let disk = || manifold_cni::find(kind, &shim.folders).map(Found::Executed);
    match shim.config.bundled.choice(kind) {
        Choice::BundledThenDisk => ours().map_or_else(disk, Ok),
        Choice::DiskThenBundled => disk().or_else(|e| ours().ok_or(e)),
        Choice::DiskOnly => disk(),
    }
}

/// An interface plugin runs its IPAM plugin itself; that one must be there too.
fn ipam(shim: &Shim, conf: &PluginConf) -> Result<(), NotFound> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: Option<PluginType>,
    }
    // A malformed `ipam` is the plugin's own error to tell, with its own words.
    let named = conf.raw.get_as::<Named>("ipam").ok().flatten().and_then(|ipam| ipam.kind);
    match named {
        Some(kind) if manifold_plugins::bundled(kind.as_str()).is_none() => {
            manifold_cni::find(&kind, &shim.folders).map(drop)
        }
        _ => Ok(()),
    }
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
                "network `{}` is to be interface `{name}`, and the pod has one of that name already",
                attachment.display
            );
            return Err(CniError::config(msg)
                .details("nothing was touched; fix: ask for another interface name in the annotation"));
        }
    }
    Ok(())
}
