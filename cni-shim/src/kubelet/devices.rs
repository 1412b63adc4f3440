//! From the kubelet's answer to the pod's devices: those of device plugins by their resource, those of claims by the
//! claim's name, the driver's name, and the kind of their CDI device.

use std::collections::BTreeSet;

use manifold_cni::name::printable;
use manifold_crds::{DeviceId, ResourceName};
use manifold_plan::allocation::is_pci_address;
use manifold_plan::{Allocation, Identity};

use super::KubeletError;
use super::messages::{ClaimResource, ContainerDevices, PodResources};

/// The devices of `resources`, of all containers together. Others of the pod are nobody's business here.
pub(super) fn allocation(
    found: &PodResources,
    resources: &BTreeSet<ResourceName>,
) -> Result<Allocation, KubeletError> {
    let mut allocation = Allocation::default();
    for container in &found.containers {
        for devices in &container.devices {
            of_plugin(devices, resources, &mut allocation)?;
        }
        for claim in &container.dynamic_resources {
            for device in &claim.claim_resources {
                of_claim(&claim.claim_name, device, resources, &mut allocation)?;
            }
        }
    }
    Ok(allocation)
}

fn of_plugin(
    devices: &ContainerDevices,
    resources: &BTreeSet<ResourceName>,
    allocation: &mut Allocation,
) -> Result<(), KubeletError> {
    let Some(resource) = wanted(&devices.resource_name, resources) else { return Ok(()) };
    for id in &devices.device_ids {
        allocation.give_plain(resource.clone(), parse(resource, id)?);
    }
    Ok(())
}

fn of_claim(
    claim: &str,
    device: &ClaimResource,
    resources: &BTreeSet<ResourceName>,
    allocation: &mut Allocation,
) -> Result<(), KubeletError> {
    let names = [Some(claim), Some(device.driver_name.as_str()), cdi(device).map(|(kind, _)| kind)];
    for resource in names.into_iter().flatten().filter_map(|name| wanted(name, resources)) {
        let id = parse(resource, &claimed_id(device))?;
        let identity = Identity::of_claimed(&device.driver_name, &device.pool_name, &device.device_name, &id);
        allocation.give(resource.clone(), id, identity);
    }
    Ok(())
}

fn wanted<'r>(name: &str, resources: &'r BTreeSet<ResourceName>) -> Option<&'r ResourceName> {
    resources.iter().find(|resource| resource.as_str() == name)
}

/// Kind and name of the device for the container runtime. Kubelets list those of earlier devices of the driver before
/// it, so its own is the last.
fn cdi(device: &ClaimResource) -> Option<(&str, &str)> {
    device.cdi_devices.last()?.name.split_once('=')
}

/// A driver cannot have `:` and `.` in the name of a device, so an address is told with dashes, or in the CDI name.
fn claimed_id(device: &ClaimResource) -> String {
    let name = device.device_name.as_str();
    let dashed = name.strip_prefix("pci-").unwrap_or(name);
    match address(dashed) {
        Some(address) => address,
        None => cdi(device)
            .map(|(_, name)| name.to_owned())
            .filter(|name| is_pci_address(name))
            .unwrap_or_else(|| name.to_owned()),
    }
}

/// `0000-03-02-1` as `0000:03:02.1`.
fn address(dashed: &str) -> Option<String> {
    let [domain, bus, slot, function] = dashed.split('-').collect::<Vec<_>>().try_into().ok()?;
    Some(format!("{domain}:{bus}:{slot}.{function}")).filter(|address| is_pci_address(address))
}

fn parse(resource: &ResourceName, id: &str) -> Result<DeviceId, KubeletError> {
    id.parse().map_err(|e: manifold_crds::name::BadName| KubeletError::BadId {
        resource: resource.clone(),
        id: printable(id),
        why: e.why.to_owned(),
    })
}
