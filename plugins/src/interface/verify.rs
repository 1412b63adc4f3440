//! CHECK: is the attachment still as its result says (PLG-COM-11 to -13).

use manifold_cni::{Attachment, CniError, CniResult, Input, IpConfig};
use manifold_net::route::MAIN_TABLE;
use manifold_net::{Family, Link, Net, Route, RouteFilter, RouteKind};

use manifold_plugin_conf::Mtu;

use super::failure::Told;
use super::ownership::has_mac;
use super::sandbox;

/// The container's interface, found and of the right kind.
pub(crate) struct Verified<'a> {
    prev: &'a CniResult,
    own: usize,
    pub(crate) pod: Net,
    pub(crate) link: Link,
}

pub(crate) fn interface<'a>(input: &'a Input, at: &Attachment, kind: &str) -> Result<Verified<'a>, CniError> {
    let found = located(input, at)?;
    found.kind(kind)?;
    found.mac()?;
    Ok(found)
}

/// The same for a plugin that takes links of every kind.
pub(crate) fn any_interface<'a>(input: &'a Input, at: &Attachment) -> Result<Verified<'a>, CniError> {
    let found = located(input, at)?;
    found.mac()?;
    Ok(found)
}

/// Only that it is there, in the container that is meant.
pub(crate) fn located<'a>(input: &'a Input, at: &Attachment) -> Result<Verified<'a>, CniError> {
    let prev = input.require_prev_result()?;
    let name = at.ifname.as_str();
    let named = prev.interfaces.iter().enumerate();
    let (own, told) = named
        .filter(|(_, told)| told.name == name)
        .max_by_key(|(_, told)| !told.sandbox.is_empty())
        .ok_or_else(|| CniError::check(format!("`prevResult` has no interface `{name}`")))?;
    let netns = at.netns.to_string_lossy();
    if told.sandbox != netns {
        let sandbox = &told.sandbox;
        let text =
            format!("interface `{name}` of `prevResult` is in `{sandbox}`, but the container is `{netns}`");
        return Err(CniError::check(text));
    }
    let pod = sandbox::open(&at.netns)?;
    let link = pod.link(name).told()?;
    let link =
        link.ok_or_else(|| CniError::check(format!("the container has no interface `{name}` any more")))?;
    Ok(Verified { prev, own, pod, link })
}

impl Verified<'_> {
    pub(crate) fn kind(&self, kind: &str) -> Result<(), CniError> {
        if self.link.is_kind(kind) {
            return Ok(());
        }
        let other = self.link.kind.as_deref().unwrap_or("another kind");
        Err(CniError::check(format!("interface `{}` is not a {kind} link but {other}", self.link.name)))
    }

    /// The MAC address, if the result tells one.
    fn mac(&self) -> Result<(), CniError> {
        let Some(told) = self.prev.interfaces.get(self.own) else { return Ok(()) };
        if told.mac.is_empty() || has_mac(&self.link, told) {
            return Ok(());
        }
        let found = self.link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let text =
            format!("interface `{}` has MAC address `{found}`, and was given `{}`", told.name, told.mac);
        Err(CniError::check(text))
    }

    pub(crate) fn up(&self) -> Result<(), CniError> {
        if self.link.up {
            return Ok(());
        }
        Err(CniError::check(format!("interface `{}` is not up any more", self.link.name)))
    }

    /// An MTU that was asked for is still there.
    pub(crate) fn mtu(&self, asked: Mtu) -> Result<(), CniError> {
        match asked.get() {
            Some(mtu) if mtu != self.link.mtu => Err(CniError::check(format!(
                "interface `{}` has MTU {}, and was given {mtu}",
                self.link.name, self.link.mtu
            ))),
            _ => Ok(()),
        }
    }

    /// Addresses of the result that are this interface's.
    pub(crate) fn own_ips(&self) -> impl Iterator<Item = &IpConfig> {
        self.prev.ips.iter().filter(|ip| ip.interface.is_none_or(|index| index == self.own))
    }

    /// Every address with its prefix, a route for each prefix, and every route of the result.
    pub(crate) fn addresses_and_routes(&self) -> Result<(), CniError> {
        let name = &self.link.name;
        let there = self.pod.addresses(self.link.index).told()?;
        for ip in self.own_ips() {
            if !there.iter().any(|address| address.ip == ip.address) {
                let text = format!("interface `{name}` has lost address `{}`", ip.address);
                return Err(CniError::check(text));
            }
        }
        let routes = self.pod.routes(RouteFilter::default()).told()?;
        for ip in self.own_ips() {
            // A prefix that is one address has a route in the kernel's local table only, which comes with the address.
            let network = ip.address.trunc();
            if network.prefix_len() < network.max_prefix_len()
                && !routes.iter().any(|route| covers(route, network))
            {
                return Err(CniError::check(format!("the container has no route to `{network}` any more")));
            }
        }
        for wanted in &self.prev.routes {
            if !routes.iter().any(|route| is(route, wanted) && self.in_its_table(route, wanted)) {
                let table = wanted.table.map(|table| format!(" in table {table}")).unwrap_or_default();
                let text = format!("the container has no route to `{}`{table} any more", wanted.dst);
                return Err(CniError::check(text));
            }
        }
        Ok(())
    }
}

impl Verified<'_> {
    /// The table that the result tells, else the main one; or any to which a later plugin of the list moved this
    /// interface's routes, as `sbr` and `vrf` do.
    fn in_its_table(&self, route: &Route, wanted: &manifold_cni::Route) -> bool {
        match (wanted.table, route.table_or_main()) {
            (Some(wanted), table) => wanted == table,
            (None, MAIN_TABLE) => true,
            (None, _) => route.leaves_by(self.link.index),
        }
    }
}

fn covers(route: &Route, network: ipnet::IpNet) -> bool {
    route.kind == RouteKind::Unicast && route.dst == network
}

/// Of a default route only its presence counts: the pod's owner may have moved it to another interface.
fn is(route: &Route, wanted: &manifold_cni::Route) -> bool {
    let via = |gw| route.gateway == Some(gw) || route.multipath.iter().any(|hop| hop.gateway == Some(gw));
    route.kind == RouteKind::Unicast
        && route.dst == wanted.dst.trunc()
        && Family::of(route.dst.addr()) == Family::of(wanted.dst.addr())
        && (wanted.is_default() || wanted.gw.is_none_or(via))
}
