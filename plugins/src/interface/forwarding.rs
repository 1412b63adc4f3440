//! Lets the host pass packets on between interfaces, per address family.

use std::net::IpAddr;

use manifold_cni::CniError;
use manifold_net::route::BY_ROUTER_ADVERTISEMENT;
use manifold_net::{Family, Net, RouteFilter, SysctlError, sysctl};

use super::failure::Told;

const V4: &[&str] = &["net", "ipv4", "ip_forward"];
const V6: &[&str] = &["net", "ipv6", "conf", "all", "forwarding"];

/// Switches forwarding on for every family among the addresses. It is the host's setting, shared by all attachments,
/// so nothing ever switches it off again.
pub(crate) fn enable(host: &Net, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), CniError> {
    let (mut v4, mut v6) = (false, false);
    for address in addresses {
        match Family::of(address) {
            Family::V4 => v4 = true,
            Family::V6 => v6 = true,
        }
    }
    if v4 && !is_on(V4)? {
        sysctl::set(V4, "1").told()?;
    }
    if v6 && !is_on(V6)? {
        keep_advertised_routes(host)?;
        sysctl::set(V6, "1").told()?;
    }
    Ok(())
}

/// Reads first: writing takes a lock that every other change of the host's network waits for.
fn is_on(setting: &[&str]) -> Result<bool, CniError> {
    Ok(sysctl::get(setting).told()? == "1")
}

/// A host that forwards listens to routers only where `accept_ra` is 2. With 1 the kernel drops what routers advertised at
/// the moment forwarding begins, and the node loses its default route (COMPAT-15). Interfaces with 0 get their routes from
/// a program, which keeps them.
fn keep_advertised_routes(host: &Net) -> Result<(), CniError> {
    let routes = host.routes(RouteFilter { family: Some(Family::V6), ..RouteFilter::default() }).told()?;
    let advertised: Vec<_> =
        routes.iter().filter(|route| route.protocol == Some(BY_ROUTER_ADVERTISEMENT)).collect();
    if advertised.is_empty() {
        return Ok(());
    }
    for link in host.links().told()? {
        if advertised.iter().any(|route| route.leaves_by(link.index)) {
            listen_while_forwarding(&link.name).told()?;
        }
    }
    Ok(())
}

fn listen_while_forwarding(link: &str) -> Result<(), SysctlError> {
    let setting = ["net", "ipv6", "conf", link, "accept_ra"];
    match sysctl::get(&setting) {
        Ok(value) if value == "1" => {
            sysctl::set(&setting, "2")?;
            tracing::info!(link, "`accept_ra` is 2 now, so that the node keeps its routes while it forwards");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()), // The link is gone.
        Err(error) => Err(error),
    }
}
