//! A device that the host lent to a pod: what it is, and what it is at home.
//!
//! Hardware is known by its place in the machine and by the address it was made with. Any other link is known by its
//! index and by what is at its other end: a pod could end it and make a link of the same kind, and that one must not
//! come to the host with its other end in the pod.

use std::path::PathBuf;

use manifold_cni::{Attachment, CniError, Input};
use manifold_net::{Link, Net};
use serde::{Deserialize, Serialize};

use super::{NetnsMark, Record};
use crate::state_file::Survives;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lent {
    pub(crate) network: String,
    pub(crate) container: String,
    pub(crate) ifname: String,
    /// What ADD called it in the pod. A bond has several.
    pub(crate) name_in_pod: String,
    pub(crate) netns: PathBuf,
    host: NetnsMark,
    pub(crate) pod: NetnsMark,
    pub(crate) home: Home,
    device: Device,
    /// Known once it has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_pod: Option<Place>,
}

/// The link while the host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) mac: String,
    pub(crate) mtu: u32,
}

/// What nobody can change about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Bus and place on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permanent_mac: Option<String>,
    /// Some drivers of virtual functions take whatever address they are given for the permanent one.
    #[serde(default)]
    is_virtual_function: bool,
    in_host: Place,
}

/// Where a link is in its namespace, and where its other end or its parent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    index: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other_end: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other_netns: Option<i32>,
}

impl Place {
    fn of(link: &Link) -> Self {
        Self { index: link.index, other_end: link.peer_or_parent, other_netns: link.link_netnsid }
    }
}

impl Device {
    fn of(link: &Link) -> Self {
        Self {
            kind: link.kind.clone(),
            parent: link.parent_device.clone().map(|device| (device.bus, device.name)),
            permanent_mac: link.permanent_mac.map(|mac| mac.to_string()),
            is_virtual_function: link.parent_device.as_ref().is_some_and(|device| {
                let place: PathBuf = ["/sys/bus", &device.bus, "devices", &device.name].iter().collect();
                place.join("physfn").exists()
            }),
            in_host: Place::of(link),
        }
    }

    /// A VLAN inherits its parent's permanent address.
    fn is_known_by_hardware(&self) -> bool {
        self.parent.is_some() || self.kind.is_none() && self.permanent_mac.is_some()
    }

    /// `None`: there is no hardware to know it by.
    fn same_hardware(&self, link: &Link) -> Option<bool> {
        let seen = Self::of(link);
        // A card may have two links, and links of other kinds may be made on one: all must agree. A virtual function has one.
        let same_address = || self.is_virtual_function || self.permanent_mac == seen.permanent_mac;
        self.is_known_by_hardware()
            .then(|| (&self.kind, &self.parent) == (&seen.kind, &seen.parent) && same_address())
    }
}

impl Record for Lent {
    const KIND: &'static str = "lent";
    const SURVIVES: Survives = Survives::PowerCut;

    fn host(&self) -> &NetnsMark {
        &self.host
    }

    fn key(&self) -> [&str; 3] {
        [&self.container, &self.ifname, &self.name_in_pod]
    }
}

impl Lent {
    /// Before the move.
    pub(crate) fn of(
        input: &Input,
        at: &Attachment,
        [host, pod]: [&Net; 2],
        link: &Link,
        name_in_pod: &str,
        name_at_home: &str,
    ) -> Result<Self, CniError> {
        Ok(Self {
            network: input.name.to_string(),
            container: at.container.to_string(),
            ifname: at.ifname.to_string(),
            name_in_pod: name_in_pod.to_owned(),
            netns: at.netns.clone(),
            host: NetnsMark::of(host)?,
            pod: NetnsMark::of(pod)?,
            home: Home {
                name: name_at_home.to_owned(),
                mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                mtu: link.mtu,
            },
            device: Device::of(link),
            in_pod: None,
        })
    }

    pub(crate) fn is_same_attachment(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// It is in the pod now, and looks like this there.
    pub(crate) fn arrived(&mut self, link: &Link) {
        self.in_pod = Some(Place::of(link));
    }

    /// Whether it has no hardware, and is in a pod by now: it is known by what it sees at its other end.
    pub(crate) fn is_known_by_its_place(&self) -> bool {
        self.in_pod.is_some() && !self.device.is_known_by_hardware()
    }

    /// Whether it is on disk as it is here.
    pub(crate) fn is_still_written(&self) -> Result<bool, CniError> {
        Ok(super::read::<Self>(&self.host, self.key())?.as_ref() == Some(self))
    }

    /// Whether a link of the pod is the device. Until it is known to have arrived the pod has not run yet.
    pub(crate) fn is_in_pod(&self, link: &Link) -> bool {
        self.device.same_hardware(link).unwrap_or_else(|| {
            let there = Place::of(link);
            link.kind == self.device.kind
                && match self.in_pod {
                    Some(place) => place == there,
                    None => {
                        there.other_end == self.device.in_host.other_end
                            && (there.index == self.device.in_host.index || link.name == self.name_in_pod)
                    }
                }
        })
    }

    /// Whether a link of the host is the device.
    pub(crate) fn is_in_host(&self, link: &Link) -> bool {
        let home = || link.kind == self.device.kind && Place::of(link) == self.device.in_host;
        self.device.same_hardware(link).unwrap_or_else(home)
    }

    /// The folder of the device below `/sys`; `None` for a link that no hardware is behind.
    pub(crate) fn hardware(&self) -> Option<PathBuf> {
        let (bus, name) = self.device.parent.as_ref()?;
        Some(["/sys/bus", bus, "devices", name].iter().collect())
    }

    pub(crate) fn write(&self) -> Result<(), CniError> {
        super::write(self)
    }

    pub(crate) fn forget(&self) -> Result<(), CniError> {
        super::forget::<Self>(&self.host, self.key())
    }
}

pub(crate) fn read(host: &Net, key: [&str; 3]) -> Result<Option<Lent>, CniError> {
    super::read(&NetnsMark::of(host)?, key)
}

pub(crate) fn all(host: &Net) -> Result<Vec<Lent>, CniError> {
    super::all(&NetnsMark::of(host)?)
}
