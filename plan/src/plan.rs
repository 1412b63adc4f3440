//! Puts it together: every rule that can fail fails here, before anything is touched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use manifold_cni::derive::{inject_device, merge_cni_args};
use manifold_cni::{CniArgs, CniResult, ContainerId, IfName, NetworkList, NetworkName, PluginType, Version};
use manifold_crds::{NadRef, Selection};
use serde_json::value::RawValue;

use crate::allocation::{Allocator, DeviceRequest};
use crate::capability::{self, Values};
use crate::resolve::{Resolved, resolve};
use crate::routes::{self, RouteChange, RouteIntent};
use crate::{
    Allocation, Definitions, Pod, Policy, Refusal, Role, Want, Wanted, args, check_config, device_file,
    names, predict, want,
};

/// What the runtime said when it called.
#[derive(Clone, Debug)]
pub struct RuntimeInput {
    /// Of the runtime's own configuration; definitions that say none inherit it.
    pub version: Version,
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
    pub attachments: Vec<Planned>,
    /// Worth a line in the log: files passed over, requests dropped.
    pub notes: Vec<String>,
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
    pub ifname: IfName,
    pub default: bool,
    /// With name and version set, `cni-args` merged and the device put in.
    pub list: NetworkList,
    /// By capability. Each plugin gets those it declares.
    pub runtime_values: Values,
    /// `CNI_ARGS` for ADD.
    pub args: CniArgs,
    /// `CNI_ARGS` for every other verb.
    pub later_args: CniArgs,
    pub default_route: RouteIntent,
    /// Whether the pod asked for `default-route` on it: the status says so then.
    pub asked_default_route: bool,
    pub device: Option<DeviceRequest>,
    /// Where a plugin of the list will leave a description of its device.
    pub device_info_file: Option<PathBuf>,
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
    pub fn settle_routes(&self, results: &mut [CniResult]) -> Result<Vec<RouteChange>, Refusal> {
        let intents: Vec<RouteIntent> = self.attachments.iter().map(|a| a.default_route).collect();
        routes::settle(&intents, results).map_err(|(place, refusal)| match self.attachments.get(place) {
            Some(planned) => refusal.about(&planned.display).on(&planned.ifname),
            None => refusal,
        })
    }
}

/// Decides what the pod gets; touches nothing. `found` holds what [`want`] asked for.
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
    let Maker { notes, status_bytes, .. } = maker;
    predict::check(status_bytes, attachments.len(), &policy.limits).map_err(|e| e.at(None, pod))?;
    Ok(Plan { attachments, notes, status_bytes })
}

struct Maker<'a> {
    pod: &'a Pod,
    policy: &'a Policy,
    found: &'a Definitions,
    runtime: &'a RuntimeInput,
    devices: Allocator<'a>,
    notes: Vec<String>,
    status_bytes: usize,
}

impl<'a> Maker<'a> {
    fn new(
        pod: &'a Pod,
        policy: &'a Policy,
        found: &'a Definitions,
        runtime: &'a RuntimeInput,
        wanted: &Wanted,
    ) -> Self {
        let selections = wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
        let devices = Allocator::new(runtime.allocation.as_ref(), selections);
        Self { pod, policy, found, runtime, devices, notes: Vec::new(), status_bytes: "[]".len() }
    }

    fn make(&mut self, want: &Want, ifname: &IfName, default_route: RouteIntent) -> Result<Planned, Refusal> {
        let Resolved { nad, name, mut list, notes } =
            resolve(want, self.found, self.policy, self.runtime.version)?;
        self.notes.extend(notes);
        let selection = want.selection.as_ref();
        let device = self.devices.take(nad, selection)?;
        configure(&mut list, selection, device.as_ref())?;
        let odd = check_config::plugins(&list)?;
        self.notes.extend(odd.into_iter().map(|note| format!("network `{}`: {note}", want.source)));
        let mut runtime_values = self.values(want, &list)?;
        if let Some(device) = &device {
            runtime_values.insert(capability::DEVICE_ID.to_owned(), capability::raw(device.device.as_str()));
        }
        let device_info_file = self.device_info_file(&name, &list, ifname, &mut runtime_values)?;
        let later_args = args::of_delegate(self.pod, &self.runtime.container, &self.runtime.args, want.role);
        let display = nad.map_or_else(|| name.to_string(), |nad| nad.reference.to_string());
        self.status_bytes += predict::entry(&display, &list, selection, device_info_file.is_some());
        Ok(Planned {
            nad: nad.map(|nad| nad.reference.clone()),
            network: name,
            display,
            ifname: ifname.clone(),
            default: want.role == Role::Default,
            list,
            runtime_values,
            args: args::with_requests(&later_args, selection),
            later_args,
            default_route,
            asked_default_route: selection.is_some_and(|s| s.default_route.is_some()),
            device,
            device_info_file,
        })
    }

    fn values(&mut self, want: &Want, list: &NetworkList) -> Result<Values, Refusal> {
        let drop = self.policy.compat.drop_unsupported_requests;
        let (values, notes) =
            capability::values(want.role, want.selection.as_ref(), list, self.runtime, drop)?;
        self.notes.extend(notes.into_iter().map(|note| format!("network `{}`: {note}", want.source)));
        Ok(values)
    }

    /// Every attachment with the capability has a file, device or not (NPWG-DI-5.1-1, MLT-DEP-13).
    fn device_info_file(
        &self,
        name: &NetworkName,
        list: &NetworkList,
        ifname: &IfName,
        values: &mut Values,
    ) -> Result<Option<PathBuf>, Refusal> {
        if !capability::declared(list, capability::DEVICE_INFO_FILE) {
            values.remove(capability::DEVICE_INFO_FILE);
            return Ok(None);
        }
        let path = device_file::path(&self.policy.device_info_dir, name, &self.runtime.container, ifname)?;
        values.insert(capability::DEVICE_INFO_FILE.to_owned(), capability::raw(&path.to_string_lossy()));
        Ok(Some(path))
    }
}

/// Puts `cni-args` and the device into every plugin of the list (NPWG-4.1.2.1.6-4, MLT-DLG-11).
fn configure(
    list: &mut NetworkList,
    selection: Option<&Selection>,
    device: Option<&DeviceRequest>,
) -> Result<(), Refusal> {
    let cni_args: BTreeMap<String, Box<RawValue>> = selection
        .and_then(|s| s.cni_args.as_ref())
        .map(|args| args.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
        .unwrap_or_default();
    for plugin in &mut list.plugins {
        merge_cni_args(&mut plugin.raw, &cni_args).map_err(|e| {
            Refusal::new(
                format!("plugin `{}`: {}", plugin.kind, e.msg),
                "correct `args` in the network's configuration",
            )
        })?;
        if let Some(device) = device {
            inject_device(&mut plugin.raw, device.device.as_str());
        }
    }
    Ok(())
}
