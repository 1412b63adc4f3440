//! What the plugins before us made: `prevResult`, and the part of it that is this attachment's interface.

use ipnet::IpNet;
use manifold_cni::{Attachment, CniError, CniResult, Input};
use manifold_net::{Link, Net};

use crate::interface::failure::Told;

/// `prevResult`, without which there is nothing to work on.
pub(crate) fn prev<'a>(input: &'a Input, plugin: &str) -> Result<&'a CniResult, CniError> {
    input.prev_result.as_ref().ok_or_else(|| {
        CniError::config(format!(
            "network `{}`: {plugin} must be called as a chained plugin, with a `prevResult`; \
             put it after the plugin that creates the interface",
            input.name
        ))
    })
}

/// The container's interface.
pub(crate) fn link(pod: &Net, at: &Attachment) -> Result<Link, CniError> {
    pod.link(at.ifname.as_str()).told()?.ok_or_else(|| {
        CniError::failed(format!(
            "the container has no interface `{}`, which this plugin works on",
            at.ifname
        ))
    })
}

/// The addresses of the attachment's interface. One that names no interface counts as its own; one that names another,
/// or none that exists, does not.
pub(crate) fn addresses<'a>(
    prev: &'a CniResult,
    ifname: &'a str,
) -> impl Iterator<Item = &'a manifold_cni::IpConfig> {
    let own = move |index: usize| {
        prev.interfaces.get(index).is_some_and(|told| told.name == ifname && !told.sandbox.is_empty())
    };
    prev.ips.iter().filter(move |ip| ip.interface.is_none_or(own))
}

/// An address alone, as the prefix that it is.
pub(crate) fn alone(ip: &manifold_cni::IpConfig) -> IpNet {
    IpNet::from(ip.address.addr())
}
