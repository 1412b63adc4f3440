//! The kernel settings of a container's interface, written before it is up, on one visit to its namespace.

use manifold_cni::CniError;
use manifold_net::{Net, SysctlError, sysctl};

use super::failure::Told;

/// What the interface is to do about IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// It has addresses of its own, and takes none from routers.
    Addresses,
    /// It has IPv4 addresses only: none at all, not even a link-local one, or whoever sends router advertisements on
    /// this network could reroute the pod (S-10). Must be set before the link is up.
    Off,
    /// It has no addresses from us, or the network's author says `ipv6: keep`: what runs over it is the pod's business,
    /// which may well be IPv6 of its own. So IPv6 stays, and only what routers advertise is not taken.
    PodsBusiness,
}

/// `ipv4` or `ipv6`, name, value.
pub(crate) type Setting = (&'static str, &'static str, &'static str);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) ipv6: Ipv6,
    pub(crate) further: &'a [Setting],
}

/// Writes the settings; tells what `lo`'s `disable_ipv6` was if that had to change.
pub(crate) fn write(pod: &Net, link: &str, settings: &Settings<'_>) -> Result<Option<String>, CniError> {
    pod.netns().run(|| write_here(link, settings)).told()?.told()
}

/// Takes back what [`write`] changed beside the link's own settings, which go with the link.
pub(crate) fn restore_loopback(pod: &Net, disable_ipv6: &str) -> Result<(), CniError> {
    sysctl::set_in(pod.netns(), &["net", "ipv6", "conf", "lo", "disable_ipv6"], disable_ipv6).told()
}

fn write_here(link: &str, settings: &Settings<'_>) -> Result<Option<String>, SysctlError> {
    for (family, name, value) in settings.further {
        set(family, link, name, value)?;
    }
    match settings.ipv6 {
        Ipv6::Off => set("ipv6", link, "disable_ipv6", "1").map(|()| None),
        Ipv6::PodsBusiness => set("ipv6", link, "accept_ra", "0").map(|()| None),
        Ipv6::Addresses => {
            let loopback_was = enable_ipv6("lo")?;
            enable_ipv6(link)?;
            set("ipv6", link, "accept_ra", "0")?;
            set("ipv6", link, "keep_addr_on_down", "1")?;
            Ok(loopback_was)
        }
    }
}

/// A kernel without IPv6 lacks its settings, and needs none of them.
fn set(family: &str, link: &str, name: &str, value: &str) -> Result<(), SysctlError> {
    match sysctl::set(&["net", family, "conf", link, name], value) {
        Err(error) if error.is_not_found() && family == "ipv6" => Ok(()),
        other => other,
    }
}

/// Switches IPv6 on where it is off; the former value if it was. What cannot be read is left alone: if IPv6 is really
/// off, adding the address says so (PLG-COM-8).
fn enable_ipv6(link: &str) -> Result<Option<String>, SysctlError> {
    let setting = ["net", "ipv6", "conf", link, "disable_ipv6"];
    match sysctl::get(&setting) {
        Ok(value) if value != "0" => sysctl::set(&setting, "0").map(|()| Some(value)),
        Ok(_) | Err(_) => Ok(None),
    }
}
