//! Devices of which there is no record: an older version lent them, or the reference's plugin.
//!
//! All that is left is what a pod can write: the name in the pod, and the name at home in the alias. So only what a pod
//! cannot make comes back: hardware, or a link whose other end is in the host and which the configuration names.

use manifold_cni::{CniError, IfName};
use manifold_net::{Link, LinkChange, Net};

use super::home::{free, give_back};
use crate::interface::failure::Told;

/// Moves the device back. `named` is its name in the host where the configuration tells it.
pub(crate) fn take_back(
    host: &Net,
    pod: &Net,
    name: &IfName,
    named: Option<&IfName>,
) -> Result<(), CniError> {
    let Some(link) = pod.link(name.as_str()).told()? else { return Ok(()) };
    let Some(home) = home_name(&link) else { return Ok(()) };
    if named.is_some_and(|named| named.as_str() != home) {
        return Ok(());
    }
    if !is_hardware(&link) {
        let to_host = link.link_netnsid.is_some() && pod.number_of(host).told()? == link.link_netnsid;
        if named.is_none() || !to_host || host.link(home).told()?.is_some() {
            return Ok(());
        }
    }
    free(host, home, None)?;
    give_back(host, pod, &link, home).map(drop)
}

/// A link that was lent and has no name at home in its alias is none.
fn home_name(link: &Link) -> Option<&str> {
    link.alias.as_deref().filter(|alias| alias.parse::<IfName>().is_ok())
}

/// What has a device behind it, and was not made on one.
pub(crate) fn is_hardware(link: &Link) -> bool {
    link.kind.is_none() && (link.parent_device.is_some() || link.permanent_mac.is_some())
}

/// Hardware in the host that lost its pod: it has the name it had there, or one of the kernel's if that was taken.
pub(crate) fn stranded_as<'a>(link: &'a Link, name_in_pod: &IfName) -> Option<&'a str> {
    let by_kernel = link.name.strip_prefix("dev").is_some_and(|n| n.parse::<u32>().is_ok());
    let home = home_name(link).filter(|home| *home != link.name && is_hardware(link));
    home.filter(|_| by_kernel || link.name == name_in_pod.as_str())
}

/// Gives a device that came back by itself its name again. `is_it` tells it from other pods' devices.
pub(crate) fn rename_stranded(
    host: &Net,
    name_in_pod: &IfName,
    is_it: impl Fn(&Link, &str) -> bool,
) -> Result<(), CniError> {
    for link in host.links().told()? {
        if let Some(home) = stranded_as(&link, name_in_pod).filter(|home| is_it(&link, home)) {
            free(host, home, None)?;
            let back =
                LinkChange { name: Some(home), alias: Some(""), up: Some(false), ..LinkChange::default() };
            host.change(link.index, &back).told()?;
        }
    }
    Ok(())
}
