//! What a pod asks for: the selection annotation in both of its forms, each element fully checked.
//!
//! The text of the standard wants an invalid annotation to be ignored; here it is refused (NPWG-X-1), because a pod that
//! starts without the network it asked for is worse than one that does not start and says why. What Multus passes over (keys
//! that nobody knows, empty values of templates) is passed over here too, and comes back as an [`Oddity`] (COMPAT-1, COMPAT-2).

mod comma;
mod element;
mod oddity;
mod print;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::IpAddr;

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};

use crate::address::{Guid, IpRequest, Mac};
use crate::nad::NadRef;
use crate::name::{ClaimName, DeviceId, Namespace};

pub use oddity::Oddity;
pub use print::to_json;
pub use values::{Bandwidth, PortMapping, Protocol};

/// One element of the annotation: one attachment to one network.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The definition.
    pub network: NadRef,
    /// The name that the interface shall have.
    pub interface: Option<IfName>,
    /// Empty when the key is absent; the key itself must have at least one.
    pub ips: Vec<IpRequest>,
    /// The hardware address that it shall have.
    pub mac: Option<Mac>,
    /// The GUID that an InfiniBand interface shall have.
    pub infiniband_guid: Option<Guid>,
    /// Ports of the host that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// Limits of its traffic.
    pub bandwidth: Option<Bandwidth>,
    /// Present and empty means that the attachment keeps the default route of its own configuration.
    pub default_route: Option<Vec<IpAddr>>,
    /// `cni-args`: values for the plugins.
    pub cni_args: Option<RawObject>,
    /// The claim that keeps its addresses.
    pub ipam_claim_reference: Option<ClaimName>,
    /// The device that it shall be.
    pub device_id: Option<DeviceId>,
}

impl Selection {
    /// One that asks for the network and nothing else.
    pub fn of(network: NadRef) -> Self {
        Self {
            network,
            interface: None,
            ips: Vec::new(),
            mac: None,
            infiniband_guid: None,
            port_mappings: Vec::new(),
            bandwidth: None,
            default_route: None,
            cni_args: None,
            ipam_claim_reference: None,
            device_id: None,
        }
    }
}

/// How much a pod may ask for (F-INP-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the whole annotation.
    pub bytes: usize,
    /// How many elements.
    pub networks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, networks: 32 }
    }
}

/// Why the annotation was refused: which element, which key, what about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{why}")]
pub struct BadSelection {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub why: String,
}

/// Where in the annotation: nowhere in particular, an element, or a key of an element. Elements count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which element, from 1.
    pub element: Option<usize>,
    /// The element's network, as far as it was readable.
    pub network: Option<String>,
    /// Which key of it.
    pub key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(element) = self.element else { return Ok(()) };
        write!(f, "element {element}")?;
        if let Some(network) = &self.network {
            write!(f, " (`{}`)", printable(network))?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key `{}`", printable(key))?;
        }
        f.write_str(": ")
    }
}

impl BadSelection {
    fn whole(why: impl Into<String>) -> Self {
        Self { place: Place::default(), why: why.into() }
    }
}

/// An annotation that was read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The elements, in their order.
    pub selections: Vec<Selection>,
    /// What has no effect, in the order of the elements. A strict node refuses the first.
    pub oddities: Vec<Oddity>,
}

/// Reads the annotation. `home` is the namespace of names that carry none. An absent value, an empty one, `null`,
/// `""` and `[]` all mean no networks (NPWG-X-10).
///
/// # Errors
/// If an element is not valid; the error names element and key.
pub fn parse(text: &str, home: &Namespace, limits: Limits) -> Result<Reading, BadSelection> {
    let found = read(text, home, limits)?;
    found.selections.iter().enumerate().try_for_each(|(n, selection)| check_claim(n + 1, selection))?;
    Ok(found)
}

fn read(text: &str, home: &Namespace, limits: Limits) -> Result<Reading, BadSelection> {
    if text.len() > limits.bytes {
        return Err(BadSelection::whole(format!(
            "it has {} bytes, and {} are allowed; ask for fewer networks, or with fewer words",
            text.len(),
            limits.bytes
        )));
    }
    let text = text.trim();
    if matches!(text, "" | "null" | r#""""#) {
        return Ok(Reading::default());
    }
    // The same test as in Multus, so that a value is never JSON for one and a list of names for the other.
    let found = if text.contains(['[', '{', '"']) {
        element::parse_list(text, home, limits)?
    } else {
        comma::parse_list(text, home, limits)?
    };
    check_across(&found.selections)?;
    Ok(found)
}

/// Reads an annotation that may name one network: the default-network annotation. Without selections where it is empty
/// (MLT-DLG-2). A claim may stand beside addresses here: this annotation is none of the standard's, and OVN-Kubernetes, which
/// reads it too, stores the addresses in the claim.
///
/// # Errors
/// If it is not valid, or names several networks.
pub fn parse_one(text: &str, home: &Namespace, limits: Limits) -> Result<Reading, BadSelection> {
    let found = read(text, home, limits)?;
    match found.selections.len() {
        0 | 1 => Ok(found),
        count => Err(BadSelection::whole(format!(
            "it names {count} networks, and a pod has one default network; keep one"
        ))),
    }
}

/// Either says which addresses to take (NPWG-4.1.2.1.11-2).
fn check_claim(number: usize, selection: &Selection) -> Result<(), BadSelection> {
    if selection.ips.is_empty() || selection.ipam_claim_reference.is_none() {
        return Ok(());
    }
    let place = Place {
        element: Some(number),
        network: Some(selection.network.to_string()),
        key: Some("ipam-claim-reference".into()),
    };
    let why = "`ips` is set as well, and only one of the two can choose the addresses";
    Err(BadSelection { place, why: why.to_owned() })
}

/// What one element cannot know: an interface name that another asks for too (NPWG-4.1.2.1.5-3).
fn check_across(found: &[Selection]) -> Result<(), BadSelection> {
    let mut seen: Vec<(&IfName, usize)> = Vec::new();
    for (n, selection) in found.iter().enumerate() {
        let Some(name) = &selection.interface else { continue };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
            return Err(BadSelection {
                place: Place {
                    element: Some(n + 1),
                    network: Some(selection.network.to_string()),
                    key: Some("interface".into()),
                },
                why: format!(
                    "`{}` is the interface of element {first} too; choose another name",
                    printable(name.as_str())
                ),
            });
        }
        seen.push((name, n + 1));
    }
    Ok(())
}

fn too_many(count: usize, limits: Limits) -> BadSelection {
    BadSelection::whole(format!(
        "it names {count} networks, and {} are allowed; ask for fewer, or raise `limits.networksPerPod` on the node",
        limits.networks
    ))
}
