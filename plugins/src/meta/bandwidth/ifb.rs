//! The link through which all that a pod sends is led: how it is called, and whose it is (PLG-BW-5 to -8).
//!
//! Its name is a hash of the attachment. The reference leaves the interface out of it, so that two limited attachments
//! of one pod to one network collide; DEL finds such a link too. The alias says which network it is of, for GC.

use manifold_cni::{AttachmentId, CniError, NetworkName};
use manifold_net::{Link, LinkChange, Net, NewLink};

use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::masquerade::{Key, hash, network_hash};

const PREFIX: &str = "bwp";
/// With the prefix 15 bytes, the most that the kernel takes.
const DIGITS: usize = 12;
const KIND: &str = "ifb";

pub(super) fn make(host: &Net, key: &Key<'_>, port: &Link) -> Result<Link, CniError> {
    let name = name(key);
    let new = NewLink { name: &name, mtu: Some(port.mtu), up: true, ..NewLink::default() };
    let made = match host.add_ifb(&new) {
        // An ADD that was cut short left it; nothing of it can be relied on.
        Err(error) if error.is_exists() => {
            remove(host, key)?;
            host.add_ifb(&new)
        }
        made => made,
    };
    let link = made.told()?;
    let alias = alias(key);
    let named = host.change(link.index, &LinkChange { alias: Some(&alias), ..LinkChange::default() });
    if let Err(error) = named {
        gone_is_fine(host.delete(link.index))?;
        return Err(error).told();
    }
    Ok(link)
}

/// Ours, or that of the reference.
pub(super) fn find(host: &Net, key: &Key<'_>) -> Result<Option<Link>, CniError> {
    for name in [name(key), reference_name(key)] {
        if let Some(link) = host.link(&name).told()?.filter(|link| link.is_kind(KIND)) {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

pub(super) fn remove(host: &Net, key: &Key<'_>) -> Result<(), CniError> {
    while let Some(link) = find(host, key)? {
        gone_is_fine(host.delete(link.index))?;
    }
    Ok(())
}

/// Removes the links of this network's attachments that are not in `keep`.
pub(super) fn collect(host: &Net, network: &NetworkName, keep: &[AttachmentId]) -> Result<(), CniError> {
    let of_network = alias_of_network(network);
    let kept: Vec<String> =
        keep.iter().map(|id| name(&Key { network, container: &id.container, ifname: &id.ifname })).collect();
    let links = host.links().told()?;
    let stale = links.iter().filter(|link| {
        let ours = link.alias.as_ref().is_some_and(|alias| alias.starts_with(&of_network));
        link.is_kind(KIND) && link.name.starts_with(PREFIX) && ours && !kept.contains(&link.name)
    });
    stale.map(|link| gone_is_fine(host.delete(link.index))).fold(Ok(()), Result::and)
}

fn name(key: &Key<'_>) -> String {
    PREFIX.to_owned() + &hash(DIGITS, &[key.network.as_str(), "/", key.container, "/", key.ifname])
}

fn reference_name(key: &Key<'_>) -> String {
    PREFIX.to_owned() + &hash(DIGITS, &[key.network.as_str(), key.container])
}

fn alias_of_network(network: &NetworkName) -> String {
    format!("bandwidth {} ", network_hash(network))
}

fn alias(key: &Key<'_>) -> String {
    let mut text = format!("{}{} {}", alias_of_network(key.network), key.container, key.ifname);
    while text.len() > 200 {
        text.pop(); // The kernel takes 255 bytes.
    }
    text
}
