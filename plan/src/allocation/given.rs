//! The pod's devices by resource, as the kubelet allocated them, and when two of them are one.

use std::collections::BTreeMap;

use manifold_crds::{DeviceId, ResourceName};

/// The pod's devices. Those of one resource come sorted by id, so that every call hands them out in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation(BTreeMap<ResourceName, BTreeMap<DeviceId, Identity>>);

/// What a device is, under whatever resource it goes. Ids of device plugins mean something within their resource alone;
/// the address of a PCI device or of an auxiliary one is the same device everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity(Box<str>);

impl Identity {
    /// Of a device that the kubelet gave for a resource, or that a pod named.
    pub fn of(resource: Option<&ResourceName>, device: &DeviceId) -> Self {
        match resource {
            Some(resource) if !is_address(device.as_str()) => Self(format!("{resource}/{device}").into()),
            _ => Self(device.as_str().into()),
        }
    }

    /// Of a device that its driver, a pool and a name tell apart from all others: it may go by several resources.
    pub fn of_claimed(driver: &str, pool: &str, name: &str, device: &DeviceId) -> Self {
        match is_address(device.as_str()) {
            true => Self(device.as_str().into()),
            // No `/` begins a name of a resource, so these are nobody else's.
            false => Self(format!("/{driver}/{pool}/{name}").into()),
        }
    }
}

impl Allocation {
    /// Adds a device.
    pub fn give(&mut self, resource: ResourceName, device: DeviceId, identity: Identity) {
        self.0.entry(resource).or_default().insert(device, identity);
    }

    /// A device of a device plugin.
    pub fn give_plain(&mut self, resource: ResourceName, device: DeviceId) {
        let identity = Identity::of(Some(&resource), &device);
        self.give(resource, device, identity);
    }

    /// The devices of a resource, in the order of their ids.
    pub fn of(&self, resource: &ResourceName) -> impl Iterator<Item = (&DeviceId, &Identity)> {
        self.0.get(resource).into_iter().flatten()
    }

    pub(super) fn identity(&self, resource: &ResourceName, device: &DeviceId) -> Option<&Identity> {
        self.0.get(resource)?.get(device)
    }
}

/// `0000:03:02.1`, or the `module.name.4` of the auxiliary bus.
fn is_address(id: &str) -> bool {
    is_pci_address(id) || is_auxiliary(id)
}

/// Whether an id is a PCI address, such as `0000:03:02.1`.
pub fn is_pci_address(id: &str) -> bool {
    let shape = "hhhh:hh:hh.h";
    let fits = |(c, s): (u8, u8)| if s == b'h' { c.is_ascii_hexdigit() } else { c == s };
    id.len() == shape.len() && id.bytes().zip(shape.bytes()).all(fits)
}

fn is_auxiliary(id: &str) -> bool {
    let parts: Vec<&str> = id.split('.').collect();
    matches!(parts.as_slice(), [module, name, number] if !module.is_empty() && !name.is_empty()
        && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(one: (&str, &str), other: (&str, &str), expected: bool) {
        let identity = |(r, d): (&str, &str)| Identity::of(Some(&r.parse().unwrap()), &d.parse().unwrap());
        assert_eq!(identity(one) == identity(other), expected, "{one:?} {other:?}");
    }

    // Proves: S-17
    #[test]
    fn an_address_is_one_device_and_any_other_id_is_one_of_its_resource() {
        same(("a.b/x", "0000:03:02.1"), ("a.b/y", "0000:03:02.1"), true);
        same(("a.b/x", "mlx5_core.sf.4"), ("a.b/y", "mlx5_core.sf.4"), true);
        same(("a.b/x", "dev-0"), ("a.b/y", "dev-0"), false);
        same(("a.b/x", "dev-0"), ("a.b/x", "dev-0"), true);
        same(("a.b/x", "0000:03:02.1"), ("a.b/x", "0000:03:02.2"), false);
    }

    #[test]
    fn a_claimed_device_is_one_under_every_resource() {
        let id: DeviceId = "dev-0".parse().unwrap();
        let claimed = Identity::of_claimed("driver.example", "node1", "dev-0", &id);
        assert_eq!(claimed, Identity::of_claimed("driver.example", "node1", "dev-0", &id));
        assert_ne!(claimed, Identity::of_claimed("driver.example", "node2", "dev-0", &id));
        assert_ne!(claimed, Identity::of(Some(&"driver.example/node1".parse().unwrap()), &id));
        let pci: DeviceId = "0000:03:02.1".parse().unwrap();
        assert_eq!(
            Identity::of_claimed("driver.example", "node1", "x", &pci),
            Identity::of(Some(&"a.b/x".parse().unwrap()), &pci)
        );
    }
}
