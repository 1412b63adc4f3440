//! Which device each attachment gets: one allocator for the whole pod, no device twice (S-17).
//!
//! What the kubelet has allocated to the pod is an input. Without it a network that names a resource is refused: a device
//! that was not allocated may be another pod's.

use std::collections::{BTreeMap, BTreeSet};

use manifold_crds::{DeviceId, Nad, ResourceName, Selection};

use crate::Refusal;

/// The pod's devices by resource, as the kubelet allocated them.
pub type Allocation = BTreeMap<ResourceName, BTreeSet<DeviceId>>;

/// The device of one attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// `None` where the definition names no resource and the pod named the device itself.
    pub resource: Option<ResourceName>,
    pub device: DeviceId,
}

/// Hands out the devices of one pod, in a stable order: sorted by id, each use takes the next one (MLT-DLG-10).
#[derive(Debug)]
pub struct Allocator<'a> {
    allocation: Option<&'a Allocation>,
    /// What the kubelet will allocate is not known yet: any device will do, and each request gets one of its own.
    any: bool,
    used: BTreeSet<DeviceId>,
    /// Devices that a selection names: they are not for another attachment to take.
    reserved: BTreeSet<DeviceId>,
}

impl<'a> Allocator<'a> {
    pub fn new<'s>(
        allocation: Option<&'a Allocation>,
        selections: impl Iterator<Item = &'s Selection>,
    ) -> Self {
        Self {
            allocation,
            any: false,
            used: BTreeSet::new(),
            reserved: selections.filter_map(|s| s.device_id.clone()).collect(),
        }
    }

    /// For a pod that has no node yet: every request of a resource is granted, with devices that are made up.
    pub fn of_any_device<'s>(selections: impl Iterator<Item = &'s Selection>) -> Self {
        Self { any: true, ..Self::new(None, selections) }
    }

    /// The device of the next attachment, if its definition or its selection asks for one.
    pub fn take(
        &mut self,
        nad: Option<&Nad>,
        selection: Option<&Selection>,
    ) -> Result<Option<DeviceRequest>, Refusal> {
        let resource = nad.map(Nad::resource_name).transpose().map_err(|e| {
            Refusal::new(
                format!("annotation `{}` of the definition: {e}", manifold_crds::keys::RESOURCE_NAME),
                "correct the definition's annotation",
            )
        })?;
        let asked = selection.and_then(|s| s.device_id.clone());
        let device = match (resource.flatten(), asked) {
            (None, None) => return Ok(None),
            (None, Some(device)) => DeviceRequest { resource: None, device },
            (Some(resource), asked) => {
                let device = self.of_resource(&resource, asked)?;
                DeviceRequest { resource: Some(resource), device }
            }
        };
        if !self.used.insert(device.device.clone()) {
            return Err(Refusal::new(
                format!("device `{}` is asked for twice by this pod", device.device),
                "name each `deviceID` in one element of the pod's annotation",
            ));
        }
        Ok(Some(device))
    }

    fn of_resource(&self, resource: &ResourceName, asked: Option<DeviceId>) -> Result<DeviceId, Refusal> {
        if self.any {
            return Ok(asked.unwrap_or_else(|| self.made_up()));
        }
        let Some(allocation) = self.allocation else {
            return Err(Refusal::new(
                format!(
                    "it uses devices of resource `{resource}`, and this node cannot yet ask the kubelet for them"
                ),
                format!(
                    "use a definition without the annotation `{}`; a `deviceID` is accepted there",
                    manifold_crds::keys::RESOURCE_NAME
                ),
            ));
        };
        let own = allocation.get(resource);
        match asked {
            Some(device) if own.is_some_and(|own| own.contains(&device)) => Ok(device),
            Some(device) => Err(Refusal::new(
                format!("device `{device}` is not one that the pod was given of resource `{resource}`"),
                "drop `deviceID` from the pod's annotation; the next device of the pod is taken then",
            )),
            None => {
                let free = |d: &&DeviceId| !self.used.contains(*d) && !self.reserved.contains(*d);
                own.into_iter().flatten().find(free).cloned().ok_or_else(|| {
                    Refusal::new(
                        format!(
                            "the pod was given {} of resource `{resource}`, and its networks need more",
                            devices(own.map_or(0, BTreeSet::len))
                        ),
                        format!("raise the limit of `{resource}` in the pod's containers, or ask for fewer such networks"),
                    )
                })
            }
        }
    }

    fn made_up(&self) -> DeviceId {
        let free = |d: &DeviceId| !self.used.contains(d) && !self.reserved.contains(d);
        (0..=self.used.len() + self.reserved.len())
            .map(pci_address)
            .find(free)
            .expect("of one more address than there are devices one is free")
    }
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

#[cfg(test)]
mod tests {
    use manifold_crds::{NadRef, keys};

    use super::*;
    use crate::tests::wanted;

    fn allocation(ids: &[&str]) -> Allocation {
        let ids = ids.iter().map(|id| id.parse().unwrap()).collect();
        Allocation::from([("vendor.example/vf".parse().unwrap(), ids)])
    }

    /// Takes a device for each selection, all of definitions with the resource (or without one).
    fn take_all(
        allocation: Option<&Allocation>,
        resource: bool,
        annotation: &str,
    ) -> Result<Vec<Option<String>>, Refusal> {
        let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
        if resource {
            nad.annotations.insert(keys::RESOURCE_NAME.into(), "vendor.example/vf".into());
        }
        let wanted = wanted(annotation);
        let selections = || wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
        let mut allocator = Allocator::new(allocation, selections());
        let take = |s| allocator.take(Some(&nad), Some(s)).map(|d| d.map(|d| d.device.to_string()));
        selections().map(take).collect()
    }

    #[track_caller]
    fn takes(allocation: &Allocation, annotation: &str, expected: &[&str]) {
        let taken = take_all(Some(allocation), true, annotation).unwrap();
        assert_eq!(taken.iter().map(|d| d.as_deref().unwrap()).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn refused(allocation: Option<&Allocation>, resource: bool, annotation: &str, word: &str) {
        let error = take_all(allocation, resource, annotation).unwrap_err();
        assert!(error.what.contains(word), "{error}");
        assert!(!error.fix.is_empty());
    }

    // Proves: S-17, P-COR-4
    #[test]
    fn devices_go_out_in_order_and_never_twice() {
        let two = allocation(&["0000:03:02.2", "0000:03:02.1"]);
        takes(&two, "a,a", &["0000:03:02.1", "0000:03:02.2"]);
        takes(
            &two,
            r#"[{"name":"a"},{"name":"a","deviceID":"0000:03:02.1"}]"#,
            &["0000:03:02.2", "0000:03:02.1"],
        );
        refused(Some(&two), true, "a,a,a", "given 2 devices");
        refused(
            Some(&two),
            true,
            r#"[{"name":"a","deviceID":"0000:03:02.1"},{"name":"a","deviceID":"0000:03:02.1"}]"#,
            "twice",
        );
        refused(Some(&Allocation::new()), true, "a", "no device");
    }

    // Proves: S-17
    #[test]
    fn a_device_of_another_pod_is_refused() {
        let one = allocation(&["0000:03:02.1"]);
        refused(
            Some(&one),
            true,
            r#"[{"name":"a","deviceID":"0000:03:02.7"}]"#,
            "not one that the pod was given",
        );
        refused(None, true, r#"[{"name":"a","deviceID":"0000:03:02.1"}]"#, "kubelet");
        refused(None, true, "a", "kubelet");
    }

    #[test]
    fn a_pod_without_a_node_gets_any_device_and_none_twice() {
        let mut nad = Nad::new(NadRef::new("shop", "a").unwrap(), Some("{}"));
        nad.annotations.insert(keys::RESOURCE_NAME.into(), "vendor.example/vf".into());
        let take = |annotation: &str| {
            let wanted = wanted(annotation);
            let selections = || wanted.attachments.iter().filter_map(|w| w.selection.as_ref());
            let mut allocator = Allocator::of_any_device(selections());
            let take = |s| allocator.take(Some(&nad), Some(s)).map(|d| d.unwrap().device.to_string());
            selections().map(take).collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(take("a,a").unwrap(), ["0000:00:00.0", "0000:00:00.1"]);
        let asked = r#"[{"name":"a"},{"name":"a","deviceID":"0000:00:00.0"}]"#;
        assert_eq!(take(asked).unwrap(), ["0000:00:00.1", "0000:00:00.0"]);
        let twice = r#"[{"name":"a","deviceID":"x"},{"name":"a","deviceID":"x"}]"#;
        assert!(take(twice).unwrap_err().what.contains("twice"));
    }

    // Proves: MLT-DLG-5
    #[test]
    fn without_a_resource_the_device_is_the_one_named() {
        let taken =
            take_all(None, false, r#"[{"name":"a","deviceID":"0000:03:02.1"},{"name":"a"}]"#).unwrap();
        assert_eq!(taken, [Some("0000:03:02.1".to_owned()), None]);
    }
}
