//! Lets the host pass packets on between interfaces, per address family.

use std::net::IpAddr;

use manifold_cni::CniError;
use manifold_net::{Family, sysctl};

use super::failure::Told;

/// Switches forwarding on for every family among the addresses. It is the host's setting, shared by all attachments,
/// so nothing ever switches it off again.
pub(crate) fn enable(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), CniError> {
    let (mut v4, mut v6) = (false, false);
    for address in addresses {
        match Family::of(address) {
            Family::V4 => v4 = true,
            Family::V6 => v6 = true,
        }
    }
    if v4 {
        switch_on(&["net", "ipv4", "ip_forward"])?;
    }
    if v6 {
        switch_on(&["net", "ipv6", "conf", "all", "forwarding"])?;
    }
    Ok(())
}

/// Reads first: writing takes a lock that every other change of the host's network waits for.
fn switch_on(setting: &[&str]) -> Result<(), CniError> {
    if sysctl::get(setting).told()? == "1" { Ok(()) } else { sysctl::set(setting, "1").told() }
}
