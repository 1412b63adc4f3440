//! Which device each attachment gets: one allocator for the whole pod, no device twice (S-17).
//!
//! What the kubelet has allocated to the pod is an input. Without it a network that needs a device is refused: a device
//! that was not allocated may be another pod's.

mod given;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use manifold_crds::{DeviceId, Nad, ResourceName, Selection};

use crate::Refusal;

pub use given::{Allocation, Identity, is_pci_address};

/// The device of one attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// `None` where the definition names no resource and the pod named the device itself.
    pub resource: Option<ResourceName>,
    /// Its id.
    pub device: DeviceId,
}

/// A request for a device that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDevice {
    /// Why.
    pub refusal: Refusal,
    /// The resource of which the pod has no device left, where it named none itself: a network may do without.
    pub short: Option<ResourceName>,
}

impl From<Refusal> for NoDevice {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, short: None }
    }
}

/// Hands out the devices of one pod, in a stable order: sorted by id, each use takes the next one (MLT-DLG-10).
#[derive(Debug)]
pub struct Allocator<'a> {
    allocation: Option<&'a Allocation>,
    /// What the kubelet will allocate is not known yet: any device will do, and each request gets one of its own.
    any: bool,
    used: BTreeSet<Identity>,
    /// Devices that a selection names: they are not for another attachment to take.
    reserved: BTreeSet<Identity>,
}

impl<'a> Allocator<'a> {
    /// `attachments`: all of the pod, each with its definition and what the pod asks of it, where there is such.
    pub fn new<'s>(
        allocation: Option<&'a Allocation>,
        attachments: impl Iterator<Item = (Option<&'s Nad>, Option<&'s Selection>)>,
    ) -> Self {
        let named = |(nad, selection): (Option<&Nad>, Option<&Selection>)| {
            let device = selection?.device_id.as_ref()?;
            let resource = nad.and_then(|nad| nad.resource_name().ok().flatten());
            let known = resource.as_ref().zip(allocation).and_then(|(r, a)| a.identity(r, device).cloned());
            Some(known.unwrap_or_else(|| Identity::of(resource.as_ref(), device)))
        };
        Self {
            allocation,
            any: false,
            used: BTreeSet::new(),
            reserved: attachments.filter_map(named).collect(),
        }
    }

    /// For a pod that has no node yet: every request of a resource is granted, with devices that are made up.
    pub fn of_any_device<'s>(
        attachments: impl Iterator<Item = (Option<&'s Nad>, Option<&'s Selection>)>,
    ) -> Self {
        Self { any: true, ..Self::new(None, attachments) }
    }

    /// The device of the next attachment, if its definition or its selection asks for one.
    ///
    /// # Errors
    /// If the device that is asked for was not given, or none is left.
    pub fn take(
        &mut self,
        nad: Option<&Nad>,
        selection: Option<&Selection>,
    ) -> Result<Option<DeviceRequest>, NoDevice> {
        let resource = nad.map(Nad::resource_name).transpose().map_err(|e| {
            Refusal::new(
                format!("annotation `{}` of the definition: {e}", manifold_crds::keys::RESOURCE_NAME),
                "correct the definition's annotation",
            )
        })?;
        let asked = selection.and_then(|s| s.device_id.clone());
        let (request, identity) = match (resource.flatten(), asked) {
            (None, None) => return Ok(None),
            (None, Some(device)) => {
                let identity = Identity::of(None, &device);
                (DeviceRequest { resource: None, device }, identity)
            }
            (Some(resource), asked) => {
                let (device, identity) = self.of_resource(&resource, asked)?;
                (DeviceRequest { resource: Some(resource), device }, identity)
            }
        };
        if !self.used.insert(identity) {
            return Err(NoDevice::from(Refusal::new(
                format!("this pod asks twice for device `{}`", request.device),
                "name each `deviceID` in one element of the pod's annotation",
            )));
        }
        Ok(Some(request))
    }

    fn of_resource(
        &self,
        resource: &ResourceName,
        asked: Option<DeviceId>,
    ) -> Result<(DeviceId, Identity), NoDevice> {
        let short = |refusal| NoDevice { refusal, short: asked.is_none().then(|| resource.clone()) };
        if self.any {
            let device = asked.clone().unwrap_or_else(|| self.made_up());
            let identity = Identity::of(Some(resource), &device);
            return Ok((device, identity));
        }
        let Some(allocation) = self.allocation else {
            return Err(short(Refusal::new(
                format!(
                    "it uses devices of resource `{resource}`, but the kubelet was not asked which ones the pod has"
                ),
                "let the container runtime name the pod in `CNI_ARGS`, as every Kubernetes runtime does",
            )));
        };
        match &asked {
            Some(device) => {
                let identity =
                    allocation.identity(resource, device).ok_or_else(|| foreign(resource, device))?;
                Ok((device.clone(), identity.clone()))
            }
            None => {
                let next = allocation.of(resource).find(|(_, identity)| self.is_free(identity));
                next.map(|(d, i)| (d.clone(), i.clone())).ok_or_else(|| short(too_few(resource, allocation)))
            }
        }
    }

    fn is_free(&self, identity: &Identity) -> bool {
        !self.used.contains(identity) && !self.reserved.contains(identity)
    }

    fn made_up(&self) -> DeviceId {
        let free = |d: &DeviceId| self.is_free(&Identity::of(None, d));
        (0..=self.used.len() + self.reserved.len())
            .map(pci_address)
            .find(free)
            .expect("of one more address than there are devices one is free")
    }
}

fn foreign(resource: &ResourceName, device: &DeviceId) -> Refusal {
    Refusal::new(
        format!("device `{device}` is not one that the pod was given of resource `{resource}`"),
        "drop `deviceID` from the pod's annotation; the next device of the pod is taken then",
    )
}

fn too_few(resource: &ResourceName, allocation: &Allocation) -> Refusal {
    Refusal::new(
        format!(
            "the pod was given {} of resource `{resource}`, and its networks need more",
            devices(allocation.of(resource).count())
        ),
        format!("raise the limit of `{resource}` in the pod's containers, or ask for fewer such networks"),
    )
}

/// A PCI address, as the plugins that look at the form want one.
fn pci_address(n: usize) -> DeviceId {
    format!("0000:{:02x}:{:02x}.{}", n / 256, n / 8 % 32, n % 8)
        .parse()
        .expect("a PCI address is a device id")
}

fn devices(count: usize) -> String {
    match count {
        0 => "no device".to_owned(),
        1 => "1 device".to_owned(),
        n => format!("{n} devices"),
    }
}
