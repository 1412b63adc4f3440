//! Whether the link that DEL finds is the one ADD made.
//!
//! ADD wrote down which index the link has in which namespace ([`super::record::made`]), and that decides: a pod may
//! have given the link another name or another MAC address, and the path of a namespace may lead to another one by now,
//! with another pod's interface of the same name in it.
//!
//! Of a link that an older version made there is no record. Then what `prevResult` tells (from 0.4.0 on) is compared;
//! without it the name and the kind have to do. It tells of the end of ADD: a MAC address that a later plugin gave is
//! taken back before our DEL, so an address of the result tells as well.

use manifold_cni::{CniError, Detachment, Input, Interface};
use manifold_net::{Link, Net};

use super::failure::{Told, gone_is_fine};
use super::record::made::{self, Made};

/// Kinds whose MAC address is their master's, and so the same in many pods.
const SHARES_MAC: [&str; 2] = ["ipvlan", "vlan"];

/// Removes the container's link, and what is left of its other end in the host.
pub(crate) fn delete_veth(
    input: &Input,
    at: &Detachment,
    host: &Net,
    pod: Option<&Net>,
) -> Result<(), CniError> {
    match made::read(host, at)? {
        Some(record) => delete_recorded(&record, host, pod),
        None => delete_unrecorded_veth(input, at, host, pod),
    }
}

/// Removes the container's link of a kind that has no end in the host.
pub(crate) fn delete(input: &Input, at: &Detachment, pod: Option<&Net>, kind: &str) -> Result<(), CniError> {
    let host = Net::here().told()?;
    match (made::read(&host, at)?, pod) {
        (Some(record), pod) => delete_recorded(&record, &host, pod),
        (None, Some(pod)) => delete_unrecorded(input, at, pod, kind),
        (None, None) => Ok(()), // The link went with its namespace.
    }
}

/// Either end of a pair ends both; the host's may be all that can be reached.
fn delete_recorded(record: &Made, host: &Net, pod: Option<&Net>) -> Result<(), CniError> {
    if let Some(pod) = pod
        && let Some(link) = record.find(pod)?
    {
        gone_is_fine(pod.delete(link.index))?;
    }
    if let Some(outer) = record.find_host_end(host)? {
        gone_is_fine(host.delete(outer.index))?;
    }
    record.forget()
}

fn delete_unrecorded_veth(
    input: &Input,
    at: &Detachment,
    host: &Net,
    pod: Option<&Net>,
) -> Result<(), CniError> {
    let outer = host_end(input, host)?;
    if let Some(pod) = pod
        && let Some(link) = pod.link(at.ifname.as_str()).told()?
        && link.is_kind("veth")
        && (is_ours(input, at, &link, outer.as_ref())
            || has_told_address(input, at, pod, &link)? == Some(true))
    {
        return gone_is_fine(pod.delete(link.index));
    }
    // The namespace cannot be reached, but something keeps it: then the pair lives, and can be ended from here.
    match outer {
        Some(outer) => gone_is_fine(host.delete(outer.index)),
        None => Ok(()),
    }
}

fn delete_unrecorded(input: &Input, at: &Detachment, pod: &Net, kind: &str) -> Result<(), CniError> {
    let Some(link) = pod.link(at.ifname.as_str()).told()?.filter(|link| link.is_kind(kind)) else {
        return Ok(());
    };
    let by_mac = is_ours(input, at, &link, None);
    let ours = match has_told_address(input, at, pod, &link)? {
        Some(there) => there || by_mac && !SHARES_MAC.contains(&kind),
        None => by_mac,
    };
    if ours { gone_is_fine(pod.delete(link.index)) } else { Ok(()) }
}

/// The container's bond. Without a record: its MAC address may have gone to another member since, so an address will do
/// as well.
pub(crate) fn find_bond(
    input: &Input,
    at: &Detachment,
    host: &Net,
    pod: &Net,
) -> Result<Option<Link>, CniError> {
    if let Some(record) = made::read(host, at)? {
        return record.find(pod);
    }
    let Some(link) = pod.link(at.ifname.as_str()).told()?.filter(|link| link.is_kind("bond")) else {
        return Ok(None);
    };
    let ours = is_ours(input, at, &link, None)
        || match has_told_address(input, at, pod, &link)? {
            Some(there) => there,
            None => member_has_mac(input, at, pod, &link)?,
        };
    Ok(Some(link).filter(|_| ours))
}

fn member_has_mac(input: &Input, at: &Detachment, pod: &Net, bond: &Link) -> Result<bool, CniError> {
    let Some(told) = inner_told(input, at) else { return Ok(true) };
    let members = pod.links().told()?.into_iter().filter(|link| link.master == Some(bond.index));
    Ok(members.into_iter().any(|link| has_mac(&link, told)))
}

/// Same other end, or same MAC address; true as well where `prevResult` tells neither.
fn is_ours(input: &Input, at: &Detachment, link: &Link, outer: Option<&Link>) -> bool {
    let Some(told) = inner_told(input, at).filter(|told| !told.mac.is_empty()) else { return true };
    outer.is_some_and(|outer| link.peer_or_parent == Some(outer.index)) || has_mac(link, told)
}

/// Whether the link has an address that `prevResult` tells; `None` where it tells none.
fn has_told_address(
    input: &Input,
    at: &Detachment,
    pod: &Net,
    link: &Link,
) -> Result<Option<bool>, CniError> {
    let told = inner_told(input, at).and(input.prev_result.as_ref());
    let Some(ips) = told.map(|prev| prev.ips.as_slice()).filter(|ips| !ips.is_empty()) else {
        return Ok(None);
    };
    let there = pod.addresses(link.index).told()?;
    Ok(Some(there.iter().any(|address| ips.iter().any(|ip| ip.address == address.ip))))
}

fn inner_told<'a>(input: &'a Input, at: &Detachment) -> Option<&'a Interface> {
    let interfaces = &input.prev_result.as_ref()?.interfaces;
    interfaces.iter().find(|interface| interface.name == at.ifname.as_str() && !interface.sandbox.is_empty())
}

/// The host's end of the pair that `prevResult` tells of, if it is still there.
fn host_end(input: &Input, host: &Net) -> Result<Option<Link>, CniError> {
    let told = input.prev_result.iter().flat_map(|prev| &prev.interfaces);
    for told in told.filter(|told| told.sandbox.is_empty() && told.name.starts_with("veth")) {
        if let Ok(Some(link)) = host.link(&told.name)
            && link.is_kind("veth")
            && has_mac(&link, told)
        {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

pub(crate) fn has_mac(link: &Link, told: &Interface) -> bool {
    link.mac.is_some_and(|mac| mac.to_string().eq_ignore_ascii_case(&told.mac))
}
