//! The default network as far as the node's disk tells it: for STATUS, for GC, and for DEL of sandboxes that have no
//! entry. Opens no connection.

use std::collections::BTreeMap;
use std::path::Path;

use manifold_cni::select::{NotSelected, select_by_name};
use manifold_cni::{CniArgs, CniError, ContainerId, IfName};
use manifold_plan::{Pod, RuntimeInput};

use crate::add::asking::Asking;
use crate::add::{record, what};
use crate::config::{Config, DefaultNetwork};
use crate::policy;
use crate::shim::Shim;
use crate::source::confdir::{self, Place};
use manifold_ledger::Recorded;

/// Who asks: a sandbox for DEL, nobody in particular for STATUS and GC.
#[derive(Clone, Debug)]
pub struct Asker {
    pub container: ContainerId,
    pub ifname: IfName,
    pub args: CniArgs,
}

impl Asker {
    pub fn nobody() -> Self {
        let container = "none".parse().expect("a valid container id");
        Self { container, ifname: "eth0".parse().expect("a valid interface name"), args: CniArgs::default() }
    }
}

/// `None` when only the API server can tell, or when the default network has no configuration on this node yet.
/// An error when there is one and it cannot be used: wrong, or a plugin of it is missing.
pub fn on_disk(shim: &Shim, asker: &Asker) -> Result<Option<Recorded>, CniError> {
    let mut policy = policy::of(&shim.config)?;
    policy.default_networks.clear();
    if let manifold_plan::DefaultNetwork::Delegates(list) = &mut policy.default {
        list.truncate(1);
    }
    // The default network is the same for every pod that does not ask for another.
    let pod = Pod::new("kube-system", "none", None).expect("both are valid names");
    let wanted = manifold_plan::want(&pod, &policy)?;
    let found = what::bring(shim, &wanted, &mut Asking::nobody())?;
    let runtime = RuntimeInput {
        version: shim.config.cni_version,
        container: asker.container.clone(),
        ifname: asker.ifname.clone(),
        args: asker.args.clone(),
        runtime_config: shim
            .config
            .runtime_config
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        allocation: None,
    };
    let known_to_cluster_only = found.nads.is_empty() && wanted.references().len() == 1;
    let plan = match manifold_plan::plan(&pod, &policy, &found, &runtime) {
        Ok(plan) => plan,
        Err(_) if known_to_cluster_only && shim.has_cluster() => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let Some(planned) = plan.attachments.first() else { return Ok(None) };
    let mut recorded = record::attachment(shim, planned, None)?;
    // The sandbox is the caller's, not the stand-in's.
    recorded.args_add = asker.args.to_string();
    recorded.args_del = asker.args.to_string();
    Ok(Some(recorded))
}

/// Whether nothing lies where the node's disk should have the default network: its file or folder is gone, or no
/// configuration has its name. A file that is there and wrong, or that cannot be read, is not gone.
pub fn is_gone(config: &Config) -> bool {
    let DefaultNetwork::Cluster(value) = &config.default_network else { return false };
    if !value.contains('/') {
        // A definition of the cluster, which the node has as a mirror.
        if !matches!(confdir::mirror(&config.state_dir), Ok(None)) {
            return false;
        }
        let Ok(files) = confdir::folder(&config.conf_dir) else { return false };
        let named: Vec<_> = files.into_iter().map(|file| (file.name, file.bytes)).collect();
        return match select_by_name(&named, value) {
            Err(NotSelected::NoConfigurations { .. }) => true,
            // A file that cannot be read may be the one.
            Err(NotSelected::NoneOfThatName { notes, .. }) => notes.is_empty(),
            Ok(_) => false,
        };
    }
    match confdir::place(Path::new(value)) {
        Ok(Place::Folder(files)) => files.is_empty(),
        Ok(Place::File(_)) => false,
        Err(_) => std::fs::metadata(value).is_err_and(|e| {
            matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }),
    }
}
