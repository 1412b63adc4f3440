//! The plan as the ledger keeps it. After this the first plugin may run, and DEL needs nobody.

use std::time::{SystemTime, UNIX_EPOCH};

use manifold_cni::{Attachment, CniError};
use manifold_plan::{Plan, Planned, Pod};

use crate::add::find;
use crate::shim::Shim;
use crate::versions;
use manifold_ledger::entry::Netns;
use manifold_ledger::netns_id::NetnsId;
use manifold_ledger::{BootId, Entry, Exact, PodIdentity, Recorded, Stage, State, Status};

/// One attachment with the plugins that will do it and undo it.
pub(crate) fn attachment(shim: &Shim, planned: &Planned, pod: Option<&Pod>) -> Result<Recorded, CniError> {
    let plugins = find::plugins(shim, planned, pod)?;
    let version = match planned.list.states_version {
        true => planned.version(),
        false => versions::common(shim, &plugins, planned.version())
            .map_err(|e| e.context(&format!("network `{}`", planned.display)))?,
    };
    Ok(Recorded {
        display: planned.display.clone(),
        network: planned.network.clone(),
        ifname: planned.ifname.clone(),
        default: planned.default,
        version,
        disable_check: planned.list.disable_check,
        disable_gc: planned.list.disable_gc,
        plugins,
        runtime: planned.runtime_values.iter().map(|(k, v)| (k.clone(), Exact::from(v.as_ref()))).collect(),
        args_add: planned.args.to_string(),
        args_del: planned.later_args.to_string(),
        device_info_file: planned.device_info_file.clone(),
        state: State::Planned,
        result: None,
        took: None,
    })
}

/// The entry of the whole sandbox. Every plugin of every network is found here, so a missing one stops the call while
/// nothing is touched.
pub(crate) fn entry(
    shim: &Shim,
    at: &Attachment,
    pod: Option<&Pod>,
    plan: &Plan,
    boot: BootId,
) -> Result<Entry, CniError> {
    let attachments = plan.attachments.iter().map(|p| attachment(shim, p, pod)).collect::<Result<_, _>>()?;
    Ok(Entry {
        boot,
        container: at.container.clone(),
        pod: pod.map(|pod| PodIdentity {
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            uid: pod.uid.as_ref().map(ToString::to_string),
        }),
        netns: Some(Netns { path: at.netns.clone(), id: NetnsId::of(&at.netns).ok() }),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        config_name: shim.config.name.clone(),
        attachments,
        status_text: None,
        status: Status::None,
        stage: Stage::Adding,
        failures: None,
        netns_gone: None,
        answered: None,
    })
}
