//! Puts it together: every rule that can fail fails here, before anything is touched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use manifold_cni::{CniArgs, CniResult, ContainerId, IfName, NetworkList, NetworkName, PluginType, Version};
use manifold_crds::{ClaimName, NadRef};
use serde_json::value::RawValue;

use crate::allocation::DeviceRequest;
use crate::attachment::Maker;
use crate::capability::Values;
use crate::routes::{self, RouteChange, RouteIntent};
use crate::{Allocation, Definitions, Pod, Policy, Refusal, names, predict, shared_handle, want};

/// What the runtime said when it called.
#[derive(Clone, Debug)]
pub struct RuntimeInput {
    /// Of the runtime's own configuration; definitions that say none inherit it.
    pub version: Version,
    /// `CNI_CONTAINERID`
    pub container: ContainerId,
    /// `CNI_IFNAME`: the default network's interface.
    pub ifname: IfName,
    /// `CNI_ARGS`, as passed.
    pub args: CniArgs,
    /// `runtimeConfig`, as passed. It reaches the default network only.
    pub runtime_config: BTreeMap<String, Box<RawValue>>,
    /// The pod's devices; `None` where the kubelet was not asked.
    pub allocation: Option<Allocation>,
}

/// All attachments, in the order in which they are made. The first is the default network.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One after another; at least one.
    pub attachments: Vec<Planned>,
    /// Worth a line in the log: files passed over, requests dropped.
    pub notes: Vec<String>,
    /// What has no effect, as far as can be told here, and was passed over.
    pub odd: Vec<Refusal>,
    /// The bytes that the status takes at most.
    pub status_bytes: usize,
}

/// One attachment, complete: a delegate needs nothing else.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The definition, where there is one.
    pub nad: Option<NadRef>,
    /// The name that plugins see.
    pub network: NetworkName,
    /// How messages and the status call it: `namespace/name`, or the CNI name of a network without a definition.
    pub display: String,
    /// The interface's name in the pod.
    pub ifname: IfName,
    /// Whether it is the default network.
    pub default: bool,
    /// With name and version set, `cni-args` merged and the device put in.
    pub list: NetworkList,
    /// By capability. Each plugin gets those it declares.
    pub runtime_values: Values,
    /// `CNI_ARGS` for ADD.
    pub args: CniArgs,
    /// `CNI_ARGS` for every other verb.
    pub later_args: CniArgs,
    /// What becomes of its default routes.
    pub default_route: RouteIntent,
    /// Whether the pod asked for `default-route` on it: the status says so then.
    pub asked_default_route: bool,
    /// The device that it gets.
    pub device: Option<DeviceRequest>,
    /// Where a plugin of the list will leave a description of its device.
    pub device_info_file: Option<PathBuf>,
    /// The IPAMClaim that keeps its addresses.
    pub ipam_claim: Option<ClaimName>,
}

impl Planned {
    /// The version that its plugins are called with.
    pub fn version(&self) -> Version {
        self.list.version()
    }
}

impl Plan {
    /// Every plugin type that the plan needs, each once, with the attachment that needs it first.
    pub fn plugin_types(&self) -> Vec<(&PluginType, &Planned)> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.attachments.iter().flat_map(|a| a.list.plugins.iter().map(move |p| (&p.kind, a)));
        all.filter(|(kind, _)| seen.insert(kind.as_str())).collect()
    }

    /// What to do about default routes, now that there are results (one for each attachment, in order). The results are
    /// changed to tell what will be true then.
    ///
    /// # Errors
    /// If a gateway cannot be reached by the network that it was asked of.
    pub fn settle_routes(&self, results: &mut [CniResult]) -> Result<Vec<RouteChange>, Refusal> {
        let intents: Vec<RouteIntent> = self.attachments.iter().map(|a| a.default_route).collect();
        routes::settle(&intents, results).map_err(|(place, refusal)| match self.attachments.get(place) {
            Some(planned) => refusal.about(&planned.display).on(&planned.ifname),
            None => refusal,
        })
    }
}

/// Decides what the pod gets; touches nothing. `found` holds what [`want()`] asked for.
///
/// # Errors
/// If any rule is broken; nothing was touched then.
pub fn plan(
    pod: &Pod,
    policy: &Policy,
    found: &Definitions,
    runtime: &RuntimeInput,
) -> Result<Plan, Refusal> {
    let wanted = want(pod, policy)?;
    let names = names::settle(&runtime.ifname, &wanted.attachments).map_err(|e| e.at(None, pod))?;
    let intents = routes::decide(&wanted.attachments, policy.compat.default_route_per_family)
        .map_err(|e| e.at(None, pod))?;
    let mut maker = Maker::new(pod, policy, found, runtime, &wanted);
    let mut attachments = Vec::with_capacity(names.len());
    for ((want, ifname), intent) in wanted.attachments.iter().zip(names).zip(intents) {
        let made = maker.make(want, &ifname, intent);
        attachments.push(made.map_err(|e| e.about(&want.source).at(Some(&ifname), pod))?);
    }
    let Maker { mut notes, odd: odd_networks, status_bytes, .. } = maker;
    let odd = wanted.odd.iter().cloned().chain(odd_networks).map(|e| e.at(None, pod)).collect();
    notes.extend(shared_handle::notes(&attachments));
    predict::check(status_bytes, attachments.len(), &policy.limits).map_err(|e| e.at(None, pod))?;
    Ok(Plan { attachments, notes, odd, status_bytes })
}
