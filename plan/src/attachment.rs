//! Makes one attachment complete: its plugins with device and arguments in them, what the runtime hands them, its paths.

use std::path::PathBuf;

use manifold_cni::derive::inject_device;
use manifold_cni::{IfName, NetworkList, NetworkName};
use manifold_crds::{Nad, ResourceName, Selection};

use crate::allocation::{Allocator, DeviceRequest, NoDevice};
use crate::capability::{self, Values};
use crate::plan::{Planned, RuntimeInput};
use crate::resolve::{Resolved, resolve};
use crate::routes::RouteIntent;
use crate::{
    Definitions, LeftToPods, Pod, Policy, Refusal, Role, Want, Wanted, args, auxiliary, check_config,
    cni_args, default_network, device_file, device_need, predict, requested_address,
};

/// Walks over the wants in order; devices and the size of the status run along.
pub(crate) struct Maker<'a> {
    pod: &'a Pod,
    policy: &'a Policy,
    found: &'a Definitions,
    runtime: &'a RuntimeInput,
    devices: Allocator<'a>,
    pub(crate) notes: Vec<String>,
    /// Those of the notes that tell of requests which nobody takes.
    pub(crate) dropped: Vec<String>,
    /// What has no effect, and is passed over because the policy is not strict.
    pub(crate) odd: Vec<Refusal>,
    pub(crate) status_bytes: usize,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(
        pod: &'a Pod,
        policy: &'a Policy,
        found: &'a Definitions,
        runtime: &'a RuntimeInput,
        wanted: &Wanted,
    ) -> Self {
        let devices = Allocator::new(runtime.allocation.as_ref(), asking(wanted, found));
        Self {
            pod,
            policy,
            found,
            runtime,
            devices,
            notes: Vec::new(),
            dropped: Vec::new(),
            odd: Vec::new(),
            status_bytes: "[]".len(),
        }
    }

    /// For a pod that has no node yet, so nobody knows its devices.
    pub(crate) fn with_any_device(
        pod: &'a Pod,
        policy: &'a Policy,
        found: &'a Definitions,
        runtime: &'a RuntimeInput,
        wanted: &Wanted,
    ) -> Self {
        let devices = Allocator::of_any_device(asking(wanted, found));
        Self { devices, ..Self::new(pod, policy, found, runtime, wanted) }
    }

    pub(crate) fn make(
        &mut self,
        want: &Want,
        ifname: &IfName,
        default_route: RouteIntent,
    ) -> Result<Planned, Refusal> {
        let Resolved { nad, name, mut list, notes } =
            resolve(want, self.found, self.policy, self.runtime.version)?;
        self.notes.extend(notes);
        if want.role == Role::Default {
            auxiliary::extend(&mut list, self.policy, self.found)?;
        }
        self.odd.extend(default_network::odd_claim(want));
        let selection = want.selection.as_ref();
        let device = self.device(want, nad, &list)?;
        self.put_in_args(want, &mut list)?;
        if let Some(device) = &device {
            list.plugins.iter_mut().for_each(|plugin| inject_device(&mut plugin.raw, device.device.as_str()));
        }
        let odd = check_config::plugins_of(&list, nad, self.policy)?;
        self.notes.extend(odd.into_iter().map(|note| format!("network `{}`: {note}", want.source)));
        let mut runtime_values = self.values(want, &list)?;
        if let Some(device) = &device {
            runtime_values.insert(capability::DEVICE_ID.to_owned(), capability::raw(device.device.as_str()));
        }
        let device_info_file =
            self.device_info_file(&name, &list, ifname, device.as_ref(), &mut runtime_values)?;
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
            args: args::with_requests(&later_args, selection.filter(|_| self.guard(want).is_none())),
            later_args,
            default_route,
            asked_default_route: selection.is_some_and(|s| s.default_route.is_some()),
            device,
            device_info_file,
            ipam_claim: selection.and_then(|s| s.ipam_claim_reference.clone()),
        })
    }

    /// What the pod's `cni-args` ask of whoever lets no pod ask it is refused like a request without a capability.
    fn put_in_args(&mut self, want: &Want, list: &mut NetworkList) -> Result<(), Refusal> {
        let Some(asked) = want.selection.as_ref().and_then(|s| s.cni_args.as_ref()) else { return Ok(()) };
        let withheld = cni_args::withheld(self.guard(want), asked, list);
        for key in &withheld {
            self.dropped(want, key.refusal.clone())?;
        }
        cni_args::merge(list, asked, &withheld)
    }

    /// What of the default network is left to pods; `None` for any other network.
    fn guard(&self, want: &Want) -> Option<&'a LeftToPods> {
        default_network::is_guarded(want, self.policy).then_some(&self.policy.left_to_pods)
    }

    fn values(&mut self, want: &Want, list: &NetworkList) -> Result<Values, Refusal> {
        let guard = self.guard(want);
        let delivery = capability::values(want.role, want.selection.as_ref(), list, self.runtime, guard)?;
        for refusal in delivery.refused {
            self.dropped(want, refusal)?;
        }
        self.notes
            .extend(delivery.notes.into_iter().map(|note| format!("network `{}`: {note}", want.source)));
        requested_address::check(want.selection.as_ref(), guard.is_some(), list, &delivery.values)?;
        Ok(delivery.values)
    }

    fn device(
        &mut self,
        want: &Want,
        nad: Option<&Nad>,
        list: &NetworkList,
    ) -> Result<Option<DeviceRequest>, Refusal> {
        let device = match self.devices.take(nad, want.selection.as_ref()) {
            Ok(Some(device)) => device,
            Ok(None) => return Ok(None),
            Err(NoDevice { short: Some(resource), refusal }) => {
                return self.without(want, list, &resource, refusal);
            }
            Err(NoDevice { refusal, .. }) => return Err(refusal),
        };
        match capability::own_choice_of_device(list) {
            Err(refusal) if device.resource.is_none() => {
                self.dropped(want, refusal)?;
                Ok(None)
            }
            _ => Ok(Some(device)),
        }
    }

    /// Some resources have no devices at all: a marker on the Node says that it has the bridge `br1`, so that pods are
    /// scheduled there (COMPAT-4).
    fn without(
        &mut self,
        want: &Want,
        list: &NetworkList,
        resource: &ResourceName,
        refusal: Refusal,
    ) -> Result<Option<DeviceRequest>, Refusal> {
        if self.policy.strict || device_need::of_list(list).is_some() {
            return Err(refusal);
        }
        let what = format!(
            "the pod has no device of resource `{resource}` for it, and no plugin of the network needs one, so it is attached \
             without a device"
        );
        let fix =
            format!("check that the pod's containers have a limit of `{resource}` if it should have one");
        self.odd.push(Refusal::new(what, fix).about(&want.source));
        Ok(None)
    }

    /// A request that nobody takes: refused, or told where the node wants it dropped.
    fn dropped(&mut self, want: &Want, refusal: Refusal) -> Result<(), Refusal> {
        if !self.policy.compat.drop_unsupported_requests {
            return Err(refusal);
        }
        let dropped = format!("network `{}`: {}; it was dropped", want.source, refusal.what);
        self.notes.push(dropped.clone());
        self.dropped.push(dropped);
        Ok(())
    }

    /// Every attachment with the capability has a file, device or not (NPWG-DI-5.1-1, MLT-DEP-13). So has every one with
    /// a device of a resource: what the device plugin says of it is told in the status (NPWG-DI-4.2-2).
    fn device_info_file(
        &self,
        name: &NetworkName,
        list: &NetworkList,
        ifname: &IfName,
        device: Option<&DeviceRequest>,
        values: &mut Values,
    ) -> Result<Option<PathBuf>, Refusal> {
        let described = device.is_some_and(|device| device.resource.is_some());
        if !described && !capability::declared(list, capability::DEVICE_INFO_FILE) {
            values.remove(capability::DEVICE_INFO_FILE);
            return Ok(None);
        }
        let path = device_file::path(&self.policy.device_info_dir, name, &self.runtime.container, ifname)?;
        values.insert(capability::DEVICE_INFO_FILE.to_owned(), capability::raw(&path.to_string_lossy()));
        Ok(Some(path))
    }
}

fn asking<'s>(
    wanted: &'s Wanted,
    found: &'s Definitions,
) -> impl Iterator<Item = (Option<&'s Nad>, Option<&'s Selection>)> {
    let nad = |want: &'s Want| found.nads.get(want.reference()?);
    wanted.attachments.iter().map(move |want| (nad(want), want.selection.as_ref()))
}
