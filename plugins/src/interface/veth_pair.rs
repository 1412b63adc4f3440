//! A veth pair between pod and host: made inside the pod's namespace, its other end directly in the host's, so that
//! no name of the pod ever shows in the host (PLG-COM-6).

use manifold_cni::{CniError, IfName};
use manifold_net::{Link, Mac, Net, VethSpec, sysctl};

use super::failure::Told;
use super::record::made::{self, Origin};
use super::undo::Undo;

pub(crate) struct VethPair {
    /// In the pod, still down.
    pub(crate) inner: Link,
    /// In the host, still down; whoever asked sets it up in its place.
    pub(crate) outer: Link,
}

pub(crate) fn make<'a>(
    undo: &mut Undo<'a>,
    origin: Origin<'_>,
    pod: &'a Net,
    mac: Option<Mac>,
    mtu: Option<u32>,
) -> Result<VethPair, CniError> {
    let (host, name) = (origin.host, &origin.at.ifname);
    let spec = VethSpec {
        name: name.as_str(),
        mac,
        mtu,
        peer_mtu: mtu,
        peer_net: Some(host),
        ..VethSpec::default()
    };
    let (inner, outer) = match pod.add_veth(&spec) {
        Err(error) if error.is_exists() => return Err(taken(name)),
        made => made.told()?,
    };
    made::keep(undo, "veth pair", origin, pod, &inner, Some(&outer))?;
    // The host must not learn routes from what a pod advertises (CVE-2020-10749).
    match sysctl::set(&["net", "ipv6", "conf", &outer.name, "accept_ra"], "0") {
        Err(error) if error.is_not_found() => {} // No IPv6 in this kernel.
        other => other.told()?,
    }
    Ok(VethPair { inner, outer })
}

/// The interface of that name is another attachment's, and stays untouched.
pub(crate) fn taken(name: &IfName) -> CniError {
    CniError::failed(format!(
        "the container has an interface `{name}` already; detach it first, or ask for another name"
    ))
}
