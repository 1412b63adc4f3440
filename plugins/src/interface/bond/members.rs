//! The links that a bond joins: where they are, whether they fit, and how they join and leave (PLG-BOND-2, -3, -6, -7).

use std::collections::HashSet;

use manifold_cni::{CniError, IfName};
use manifold_net::{Link, LinkChange, Mac, Net};
use manifold_plugin_conf::BondConf;

use crate::interface::failure::Told;
use crate::interface::lent::{self, Borrower, unrecorded};
use crate::interface::sysfs::{self, Sysfs};
use crate::interface::undo::Undo;

/// What a bond's MTU is held against where none is asked for.
const USUAL_MTU: u32 = 1500;

/// Finds every member and holds the MTU against it; touches nothing.
pub(super) fn find(conf: &BondConf, host: &Net, pod: &Net) -> Result<Vec<Link>, CniError> {
    let home = if conf.links_in_container { pod } else { host };
    let mut members = Vec::new();
    for name in &conf.links {
        let link = home.link(name.as_str()).told()?.ok_or_else(|| missing(name, conf.links_in_container))?;
        if link.master.is_some() {
            let text =
                format!("the member `{name}` is part of another link already, such as a bridge; free it");
            return Err(CniError::failed(text));
        }
        let most = physical_mtu(home, &link).map_or(link.mtu, |physical| physical.min(link.mtu));
        let mtu = conf.mtu.get().unwrap_or(USUAL_MTU);
        if mtu > most {
            let text = format!("`mtu` {mtu} is above the {most} of the member `{name}`; use 68 to {most}");
            return Err(CniError::config(text));
        }
        members.push(link);
    }
    Ok(members)
}

fn missing(name: &IfName, in_container: bool) -> CniError {
    CniError::failed(match in_container {
        true => format!(
            "the container has no link `{name}` to be a member; ask for the network that makes it before this one"
        ),
        false => format!("the host has no link `{name}` to be a member; create it, or name another one"),
    })
}

/// A virtual function carries no larger frames than its physical one.
fn physical_mtu(home: &Net, link: &Link) -> Option<u32> {
    let function = Sysfs::real().class_device(&link.name).join("physfn");
    let name = function.exists().then(|| sysfs::interface(&function).ok()).flatten()?;
    home.link(&name).ok().flatten().map(|physical| physical.mtu)
}

/// Brings members of the host to the pod.
pub(super) fn bring<'a>(
    undo: &mut Undo<'a>,
    borrower: Borrower<'_>,
    [host, pod]: [&'a Net; 2],
    conf: &BondConf,
    members: Vec<Link>,
) -> Result<Vec<Link>, CniError> {
    if conf.links_in_container {
        return Ok(members);
    }
    let names = conf.links.iter().zip(members);
    names.map(|(name, link)| lent::lend(undo, borrower, [host, pod], &link, name)).collect()
}

/// Puts the members under the bond, each with a MAC address that no other has.
pub(super) fn join<'a>(
    undo: &mut Undo<'a>,
    pod: &'a Net,
    bond: &Link,
    members: &[Link],
) -> Result<(), CniError> {
    let mut seen = HashSet::new();
    for link in members {
        let another = link.mac.filter(|mac| !seen.insert(*mac)).map(|_| Mac::random());
        seen.extend(another);
        // The kernel takes a member only while it is down, and sets it up itself.
        let ready = LinkChange { up: Some(false), mac: another, ..LinkChange::default() };
        pod.change(link.index, &ready).told()?;
        let before = link.clone();
        undo.done("member", move || leave(pod, &before, another.is_some()))?;
        pod.set_master(link.index, bond.index)
            .told()
            .map_err(|error| error.context(&format!("member `{}`", link.name)))?;
        pod.set_up(link.index).told()?;
    }
    undo.passed("members")
}

fn leave(pod: &Net, before: &Link, had_another_mac: bool) -> Result<(), CniError> {
    let Some(now) = pod.link_by_index(before.index).told()? else { return Ok(()) };
    if now.master.is_some() {
        pod.clear_master(now.index).told()?;
    }
    let mac = before.mac.filter(|_| had_another_mac);
    let change = LinkChange { mac, up: Some(before.up), ..LinkChange::default() };
    pod.change(now.index, &change).told()
}

/// DEL: takes every member out, then those of the host go back. A member that is gone is no loss.
pub(super) fn release(pod: &Net, bond: &Link) -> Result<(), CniError> {
    for link in pod.links().told()?.into_iter().filter(|link| link.master == Some(bond.index)) {
        pod.clear_master(link.index).told()?;
        // As the plugin that made it left it, until that one's own DEL.
        pod.set_up(link.index).told()?;
    }
    Ok(())
}

/// Of members that an older version lent there is only what the configuration names.
pub(super) fn give_back_unrecorded(host: &Net, pod: &Net, names: &[IfName]) -> Result<(), CniError> {
    let mut teardown = crate::interface::teardown::Teardown::default();
    for name in names {
        teardown.part(unrecorded::take_back(host, pod, name, Some(name)));
    }
    teardown.finish()
}
