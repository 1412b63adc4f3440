//! A link of the host that a pod has for a while: how it goes there, under which name, and how it comes back.
//!
//! Its name in the host stands in its alias meanwhile, as the reference keeps it. The kernel moves, renames and labels
//! in one step, so whoever is killed leaves the link in one place or the other, never without its name. A hardware
//! device whose namespace ends returns to the host by itself, under its name in the pod: it is told by its alias.

use manifold_cni::{CniError, IfName};
use manifold_net::{AddressOptions, IpNet, Link, LinkChange, Net};

use super::failure::Told;
use super::undo::Undo;
use super::veth_pair;

/// Moves the link into the pod, where it arrives down; a later failure brings it back as it was.
pub(crate) fn lend<'a>(
    undo: &mut Undo<'a>,
    host: &'a Net,
    pod: &'a Net,
    link: &Link,
    name: &IfName,
) -> Result<Link, CniError> {
    if pod.link(name.as_str()).told()?.is_some() {
        return Err(veth_pair::taken(name));
    }
    let original = original_name(link, name).to_owned();
    let addresses: Vec<IpNet> = host.addresses(link.index).told()?.into_iter().map(|a| a.ip).collect();
    let (before, ifname) = (link.clone(), name.clone());
    let change = LinkChange { name: Some(name.as_str()), alias: Some(&original), ..LinkChange::default() };
    let moved = host.move_changed(link.index, pod.netns(), &change);
    // Also where the move is reported as failed, it may have gone half way.
    undo.done("device in the pod", move || return_as_it_was(host, pod, &before, &ifname, &addresses))?;
    moved.told()?;
    let lent = pod.link(name.as_str()).told()?;
    lent.ok_or_else(|| CniError::failed(format!("the device `{original}` did not arrive in the container")))
}

/// What the link is called in the host: its alias, where it came back by itself under its name in a pod.
pub(crate) fn original_name<'a>(link: &'a Link, name_in_pod: &IfName) -> &'a str {
    stranded_alias(link, name_in_pod).unwrap_or(&link.name)
}

/// A link in the host that lost its pod: it has the name it had there, or one of the kernel's if that was taken.
fn stranded_alias<'a>(link: &'a Link, name_in_pod: &IfName) -> Option<&'a str> {
    let by_kernel = link.name.strip_prefix("dev").is_some_and(|n| n.parse::<u32>().is_ok());
    let alias = link.alias.as_deref().filter(|alias| *alias != link.name && alias.parse::<IfName>().is_ok());
    alias.filter(|_| by_kernel || link.name == name_in_pod.as_str())
}

/// Moves a lent link back to the host, under its name there, down. One that carries no name there is not a lent one.
pub(crate) fn give_back(host: &Net, pod: &Net, link: &Link) -> Result<(), CniError> {
    let Some(original) = link.alias.as_deref().filter(|alias| alias.parse::<IfName>().is_ok()) else {
        return Ok(());
    };
    free(host, original)?;
    let back = LinkChange { name: Some(original), alias: Some(""), up: Some(false), ..LinkChange::default() };
    match pod.move_changed(link.index, host.netns(), &back) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.told(),
    }
}

/// Gives a device that came back by itself its name again. `is_it` tells it from other pods' devices.
pub(crate) fn rename_stranded(
    host: &Net,
    name_in_pod: &IfName,
    is_it: impl Fn(&Link, &str) -> bool,
) -> Result<(), CniError> {
    for link in host.links().told()? {
        if let Some(alias) = stranded_alias(&link, name_in_pod).filter(|alias| is_it(&link, alias)) {
            free(host, alias)?;
            let back =
                LinkChange { name: Some(alias), alias: Some(""), up: Some(false), ..LinkChange::default() };
            host.change(link.index, &back).told()?;
        }
    }
    Ok(())
}

fn free(host: &Net, name: &str) -> Result<(), CniError> {
    match host.link(name).told()? {
        Some(_) => Err(CniError::failed(format!(
            "the host has another link `{name}` meanwhile, which is the name of the device that comes back; rename one"
        ))),
        None => Ok(()),
    }
}

fn return_as_it_was(
    host: &Net,
    pod: &Net,
    before: &Link,
    name_in_pod: &IfName,
    addresses: &[IpNet],
) -> Result<(), CniError> {
    if host.link_by_index(before.index).told()?.is_some_and(|link| link.name == before.name) {
        return Ok(()); // It never left.
    }
    // Under its new name, or under the old one if only the renaming failed.
    let is_it = |link: &Link| link.mac == before.mac && link.kind == before.kind;
    let mut there = None;
    for name in [name_in_pod.as_str(), &before.name] {
        there = there.or(pod.link(name).told()?.filter(|link| is_it(link)));
    }
    let Some(link) = there else { return Ok(()) };
    let alias = before.alias.as_deref().unwrap_or_default();
    let back = LinkChange { name: Some(&before.name), alias: Some(alias), ..LinkChange::default() };
    pod.move_changed(link.index, host.netns(), &back).told()?;
    let Some(link) = host.link(&before.name).told()? else { return Ok(()) };
    if before.up {
        host.set_up(link.index).told()?;
    }
    // IPv6 makes link-local ones by itself.
    for address in
        addresses.iter().filter(|a| !matches!(a, IpNet::V6(v6) if v6.addr().is_unicast_link_local()))
    {
        match host.add_address(link.index, *address, AddressOptions::default()) {
            Err(error) if error.is_exists() => {}
            other => other.told()?,
        }
    }
    Ok(())
}
