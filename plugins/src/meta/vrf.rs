//! `vrf`: the interface joins a routing domain of its own, so that networks of one pod may use the same addresses
//! (PLG-VRF).
//!
//! The kernel sets an interface down and up when it joins, and with that drops its global IPv6 addresses and every
//! route that is not its own; they are put back, the routes in the domain's table.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use manifold_cni::{Attachment, CniError, CniResult, Detachment, Input, Plugin, Version};
use manifold_net::route::{BY_KERNEL, MAIN_TABLE};
use manifold_net::{
    Address, AddressOptions, Dad, Link, Net, NewLink, Route, RouteAdd, RouteFilter, RouteKind,
};
use manifold_plugin_conf::VrfConf;

use super::chained;
use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::sandbox;
use crate::interface::undo::{AfterStep, Undo};

const NAME: &str = "vrf";
const KIND: &str = "vrf";
/// How long addresses may take to become usable again.
const SETTLE: Duration = Duration::from_millis(2500);

#[derive(Clone, Copy, Debug)]
pub struct Vrf {
    pub after_step: AfterStep,
}

impl Plugin for Vrf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn versions(&self) -> &'static [Version] {
        &[Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0]
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let prev = chained::prev(input, NAME)?;
        let conf = read(input)?;
        let pod = sandbox::open(&at.netns)?;
        let link = chained::link(&pod, at)?;
        refuse_member(&pod, &link)?;
        let mut undo = Undo::new(self.after_step);
        let done = apply(&mut undo, &pod, &conf, &link, input.deadline);
        undo.settle(done)?;
        Ok(prev.clone())
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        chained::prev(input, NAME)?;
        let conf = read(input)?;
        let pod = sandbox::open(&at.netns)?;
        let link = chained::link(&pod, at)?;
        let vrf = pod.link(conf.name.as_str()).told()?.filter(|vrf| vrf.is_kind(KIND));
        let Some(vrf) = vrf else {
            return Err(CniError::check(format!("the container has no VRF `{}` any more", conf.name)));
        };
        if link.master == Some(vrf.index) {
            return Ok(());
        }
        Err(CniError::check(format!("interface `{}` is not in VRF `{}` any more", link.name, vrf.name)))
    }

    /// The VRF goes with its last member.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let Ok(conf) = VrfConf::read(&input.config) else { return Ok(()) };
        let Some(pod) = sandbox::find(at.netns.as_deref())? else { return Ok(()) };
        let vrf = pod.link(conf.name.as_str()).told()?.filter(|vrf| vrf.is_kind(KIND));
        let Some(vrf) = vrf else { return Ok(()) };
        if let Some(link) = pod.link(at.ifname.as_str()).told()?
            && link.master == Some(vrf.index)
        {
            gone_is_fine(pod.clear_master(link.index))?;
        }
        delete_if_empty(&pod, &vrf)
    }
}

fn read(input: &Input) -> Result<VrfConf, CniError> {
    VrfConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn refuse_member(pod: &Net, link: &Link) -> Result<(), CniError> {
    let Some(index) = link.master.filter(|index| *index != 0) else { return Ok(()) };
    let master = pod.link_by_index(index).told()?.map_or_else(|| index.to_string(), |master| master.name);
    Err(CniError::failed(format!(
        "interface `{}` belongs to `{master}` already, and cannot join a VRF",
        link.name
    )))
}

fn delete_if_empty(pod: &Net, vrf: &Link) -> Result<(), CniError> {
    let members = pod.links().told()?;
    if members.iter().any(|link| link.master == Some(vrf.index)) {
        return Ok(());
    }
    gone_is_fine(pod.delete(vrf.index))
}

fn apply<'a>(
    undo: &mut Undo<'a>,
    pod: &'a Net,
    conf: &VrfConf,
    link: &Link,
    deadline: Instant,
) -> Result<(), CniError> {
    let (vrf, made) = find_or_make(pod, conf)?;
    let table = vrf.vrf_table.unwrap_or_default();
    if made {
        let mine = vrf.clone();
        undo.done("vrf", move || delete_if_empty(pod, &mine))?;
    }
    let (member, index) = (link.clone(), vrf.index);
    let there = Kept::of(pod, link, MAIN_TABLE)?;
    let back = there.clone();
    let joined = there.across(pod, &member, index, table, deadline);
    undo.done("member", move || match pod.link_by_index(member.index).told()? {
        Some(link) if link.master == Some(index) => back.across(pod, &link, 0, MAIN_TABLE, deadline),
        _ => Ok(()),
    })?;
    joined
}

/// The VRF of that name, and whether it was made for this.
fn find_or_make(pod: &Net, conf: &VrfConf) -> Result<(Link, bool), CniError> {
    let name = conf.name.as_str();
    if let Some(found) = pod.link(name).told()? {
        return fits(found, conf).map(|found| (found, false));
    }
    let table = match conf.table {
        Some(table) => table,
        None => free_table(&pod.links().told()?),
    };
    match pod.add_vrf(&NewLink { name, up: true, ..NewLink::default() }, table) {
        Ok(made) => Ok((made, true)),
        // Another call was faster.
        Err(error) if error.is_exists() => match pod.link(name).told()? {
            Some(found) => fits(found, conf).map(|found| (found, false)),
            None => Err(error).told(),
        },
        Err(error) => Err(error).told(),
    }
}

fn fits(found: Link, conf: &VrfConf) -> Result<Link, CniError> {
    let name = &conf.name;
    if !found.is_kind(KIND) {
        let text = format!("the container's link `{name}` is not a VRF; give the VRF another name");
        return Err(CniError::config(text));
    }
    match (conf.table, found.vrf_table) {
        (Some(wanted), Some(table)) if wanted != table => Err(CniError::config(format!(
            "VRF `{name}` exists with table {table}, and table {wanted} is asked for; use one table for all its members"
        ))),
        _ => Ok(found),
    }
}

/// The lowest table that no VRF of the pod has.
fn free_table(links: &[Link]) -> u32 {
    let used: BTreeSet<u32> = links.iter().filter_map(|link| link.vrf_table).collect();
    (1..).find(|table| !used.contains(table)).unwrap_or(1)
}

/// What the kernel drops when an interface joins or leaves a VRF.
#[derive(Clone, Debug)]
struct Kept {
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

impl Kept {
    fn of(pod: &Net, link: &Link, table: u32) -> Result<Self, CniError> {
        let mut addresses = pod.addresses(link.index).told()?;
        addresses.retain(|address| address.ip.addr().is_ipv6() && address.scope == 0);
        let filter = RouteFilter { table: Some(table), oif: Some(link.index), ..RouteFilter::default() };
        let mut routes = pod.routes(filter).told()?;
        // The kernel's own come back with their addresses.
        routes.retain(|route| {
            route.kind == RouteKind::Unicast && route.protocol != Some(BY_KERNEL) && !is_link_local(route)
        });
        // Gateways are reached over the others.
        routes.sort_by_key(|route| route.gateway.is_some());
        Ok(Self { addresses, routes })
    }

    /// Sets the interface's master, and puts everything back on the other side.
    fn across(
        &self,
        pod: &Net,
        link: &Link,
        master: u32,
        table: u32,
        deadline: Instant,
    ) -> Result<(), CniError> {
        pod.set_master(link.index, master).told()?;
        let left = pod.addresses(link.index).told()?;
        for lost in self.addresses.iter().filter(|was| !left.iter().any(|is| is.ip == was.ip)) {
            // It was found to be the only one of its kind before.
            let options = AddressOptions { no_dad: true, ..AddressOptions::default() };
            match pod.add_address(link.index, lost.ip, options) {
                Err(error) if error.is_exists() => {}
                added => added.told()?,
            }
        }
        if !self.addresses.is_empty()
            && let Dad::Duplicate(address) =
                pod.wait_dad(link.index, deadline.min(Instant::now() + SETTLE)).told()?
        {
            let text = format!("another host on the network of `{}` has address `{address}`", link.name);
            return Err(CniError::failed(text));
        }
        for route in &self.routes {
            pod.add_route(&Route { table: Some(table), ..route.clone() }, RouteAdd::Replace).told()?;
        }
        Ok(())
    }
}

fn is_link_local(route: &Route) -> bool {
    matches!(route.dst.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-VRF-1
    #[test]
    fn the_lowest_table_that_no_vrf_has_is_taken() {
        let vrf = |table| Link { vrf_table: Some(table), ..Link::default() };
        assert_eq!(free_table(&[Link::default()]), 1);
        assert_eq!(free_table(&[vrf(1), vrf(3), vrf(1001)]), 2);
        assert_eq!(free_table(&[vrf(2)]), 1);
    }
}
