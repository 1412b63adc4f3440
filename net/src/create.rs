//! Making links: each in one message, where it is to live, under its final name.
//!
//! A link made for another namespace is created there directly, so the host never sees it under any name.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;

use crate::error::{NetError, Why};
use crate::link::{Link, MacvlanMode, check_name, new_link};
use crate::mac::{Mac, random_u64};
use crate::net::Net;

const NAME_ATTEMPTS: usize = 10;

/// A veth pair. The link itself is made in the namespace of the [`Net`] that makes it.
#[derive(Clone, Debug, Default)]
pub struct VethSpec<'a> {
    /// The link's name.
    pub name: &'a str,
    /// `None` leaves the kernel's choice.
    pub mac: Option<Mac>,
    /// `None` leaves the kernel's choice.
    pub mtu: Option<u32>,
    /// Whether it is set up at once.
    pub up: bool,
    /// `None` picks a free name: `veth` and 8 random hexadecimal digits.
    pub peer_name: Option<&'a str>,
    /// `None` leaves the kernel's choice.
    pub peer_mac: Option<Mac>,
    /// `None` leaves the kernel's choice.
    pub peer_mtu: Option<u32>,
    /// Whether the peer is set up at once.
    pub peer_up: bool,
    /// Where the other end lives; `None` for beside the link.
    pub peer_net: Option<&'a Net>,
}

/// A bridge.
#[derive(Clone, Debug, Default)]
pub struct BridgeSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// `None` leaves the kernel's choice.
    pub mac: Option<Mac>,
    /// `None` leaves the kernel's choice.
    pub mtu: Option<u32>,
    /// Whether it looks at VLAN tags.
    pub vlan_filtering: bool,
    /// Whether it is set up at once.
    pub up: bool,
}

/// A macvlan on a link of the [`Net`] that makes it.
#[derive(Clone, Debug, Default)]
pub struct MacvlanSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// The link below it.
    pub parent_index: u32,
    /// How it sees its siblings.
    pub mode: MacvlanMode,
    /// `None` leaves the kernel's choice.
    pub mac: Option<Mac>,
    /// `None` leaves the kernel's choice.
    pub mtu: Option<u32>,
    /// `None` leaves the kernel's choice.
    pub bc_queue_len: Option<u32>,
    /// Whether it is set up at once.
    pub up: bool,
    /// Where the new link lives; `None` for beside its parent.
    pub target: Option<&'a Net>,
}

impl Net {
    /// Makes a veth pair; returns the link and its peer.
    ///
    /// # Errors
    /// If a name is taken or not valid.
    pub fn add_veth(&self, spec: &VethSpec<'_>) -> Result<(Link, Link), NetError> {
        let what = || format!("create veth `{}`", spec.name);
        let home = spec.peer_net.unwrap_or(self);
        let Some(peer_name) = spec.peer_name else {
            let attempt = |name: &str| self.add_veth(&VethSpec { peer_name: Some(name), ..spec.clone() });
            return under_a_free_name("veth", attempt, || Ok(self.link(spec.name)?.is_none()));
        };
        check_name(peer_name).map_err(|why| NetError::new(what(), why))?;
        let mut peer = link_message(peer_name, spec.peer_mac, spec.peer_mtu, false);
        if !home.same_namespace(self) {
            peer.attributes.push(LinkAttribute::NetNsFd(home.netns().raw_fd()));
        }
        let mut message = link_message(spec.name, spec.mac, spec.mtu, spec.up);
        message.attributes.push(kind(InfoKind::Veth, InfoData::Veth(InfoVeth::Peer(peer))));
        let link = self.create(what, spec.name, message)?;
        match home.finished_peer(what, peer_name, spec.peer_up) {
            Ok(peer) => Ok((link, peer)),
            Err(error) => {
                self.delete(link.index)?;
                Err(error)
            }
        }
    }

    /// The kernel cannot make a peer that is up: the pair is joined only after both ends exist.
    fn finished_peer(&self, what: impl Fn() -> String, name: &str, up: bool) -> Result<Link, NetError> {
        if up {
            let message = link_message(name, None, None, true);
            self.request(&what, RouteNetlinkMessage::SetLink(message), 0)?;
        }
        self.created(what, name)
    }

    /// Makes a bridge.
    ///
    /// # Errors
    /// If the name is taken or not valid.
    pub fn add_bridge(&self, spec: &BridgeSpec<'_>) -> Result<Link, NetError> {
        let mut message = link_message(spec.name, spec.mac, spec.mtu, spec.up);
        let facts = if spec.vlan_filtering { vec![InfoBridge::VlanFiltering(true)] } else { Vec::new() };
        message.attributes.push(kind(InfoKind::Bridge, InfoData::Bridge(facts)));
        self.create(|| format!("create bridge `{}`", spec.name), spec.name, message)
    }

    /// Makes a macvlan.
    ///
    /// # Errors
    /// If the name is taken or not valid, or the parent is gone.
    pub fn add_macvlan(&self, spec: &MacvlanSpec<'_>) -> Result<Link, NetError> {
        let what = || format!("create macvlan `{}` on link {}", spec.name, spec.parent_index);
        let mut facts = vec![InfoMacVlan::Mode(spec.mode.code().into())];
        facts.extend(spec.bc_queue_len.map(InfoMacVlan::BcQueueLen));
        let mut message = link_message(spec.name, spec.mac, spec.mtu, spec.up);
        message.attributes.push(LinkAttribute::Link(spec.parent_index));
        message.attributes.push(kind(InfoKind::MacVlan, InfoData::MacVlan(facts)));
        self.create_in(what, spec.name, message, spec.target)
    }

    /// Makes a link in the namespace of `target`.
    pub(crate) fn create_in(
        &self,
        what: impl Fn() -> String,
        name: &str,
        mut message: LinkMessage,
        target: Option<&Net>,
    ) -> Result<Link, NetError> {
        let Some(target) = target.filter(|target| !target.same_namespace(self)) else {
            return self.create(what, name, message);
        };
        message.attributes.push(LinkAttribute::NetNsFd(target.netns().raw_fd()));
        match self.send_new(&what, name, message.clone(), 0) {
            Ok(_) => target.created(what, name),
            // Before Linux 6.15 a link of that name beside the parent is in the way too.
            Err(error) if error.is_exists() => self.create_by_rename(what, name, message, target),
            Err(error) => Err(error),
        }
    }

    /// Makes a link in another namespace under a name nobody has, then gives it its own.
    fn create_by_rename(
        &self,
        what: impl Fn() -> String,
        name: &str,
        mut message: LinkMessage,
        target: &Net,
    ) -> Result<Link, NetError> {
        let temporary = random_name("tmp");
        let up = message.header.flags;
        message.header.flags = LinkFlags::empty(); // Older kernels rename no link that is up.
        rename_in(&mut message, &temporary);
        self.send_new(&what, &temporary, message, 0)?;
        let link = target.created(&what, &temporary)?;
        let renamed = target
            .rename(link.index, name)
            .and_then(|()| if up.contains(LinkFlags::Up) { target.set_up(link.index) } else { Ok(()) });
        match renamed {
            Ok(()) => target.created(what, name),
            Err(error) => {
                target.delete(link.index)?;
                Err(if error.is_exists() { NetError::new(what(), refused(Errno::EEXIST, "")) } else { error })
            }
        }
    }

    /// Makes a link here. The kernel echoes what it made; one that is too old for that is asked.
    pub(crate) fn create(
        &self,
        what: impl Fn() -> String,
        name: &str,
        message: LinkMessage,
    ) -> Result<Link, NetError> {
        let echoed = self.send_new(&what, name, message, NLM_F_ECHO)?;
        let mut links = echoed.into_iter().filter_map(new_link);
        links.find(|link| link.name == name).map_or_else(|| self.created(what, name), Ok)
    }

    fn send_new(
        &self,
        what: impl Fn() -> String,
        name: &str,
        message: LinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetError> {
        check_name(name).map_err(|why| NetError::new(what(), why))?;
        self.request(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL | flags)
    }

    fn created(&self, what: impl Fn() -> String, name: &str) -> Result<Link, NetError> {
        self.link(name)?
            .ok_or_else(|| NetError::new(what(), refused(Errno::ENODEV, "it disappeared immediately")))
    }
}

/// Tries random names until one is free. The name that exists may also be the one that is not random; then no other
/// random name helps, and `worth_it` says so.
fn under_a_free_name<T>(
    prefix: &str,
    mut attempt: impl FnMut(&str) -> Result<T, NetError>,
    worth_it: impl Fn() -> Result<bool, NetError>,
) -> Result<T, NetError> {
    for _ in 1..NAME_ATTEMPTS {
        match attempt(&random_name(prefix)) {
            Err(error) if error.is_exists() && worth_it()? => {}
            done => return done,
        }
    }
    attempt(&random_name(prefix))
}

fn random_name(prefix: &str) -> String {
    format!("{prefix}{:08x}", random_u64() as u32)
}

/// The part every new link has.
pub(crate) fn link_message(name: &str, mac: Option<Mac>, mtu: Option<u32>, up: bool) -> LinkMessage {
    let mut message = LinkMessage::default();
    if up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

pub(crate) fn kind(kind: InfoKind, data: InfoData) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)])
}

fn rename_in(message: &mut LinkMessage, name: &str) {
    for attribute in &mut message.attributes {
        if let LinkAttribute::IfName(old) = attribute {
            name.clone_into(old);
        }
    }
}

fn refused(errno: Errno, said: &str) -> Why {
    Why::Refused { errno, said: (!said.is_empty()).then(|| said.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> NetError {
        NetError::new("create veth", refused(Errno::EEXIST, ""))
    }

    /// How many names are tried when the first `clashes` are taken.
    fn names_tried(clashes: usize, worth_it: bool) -> (usize, bool) {
        let mut names = std::collections::HashSet::new();
        let attempt = |name: &str| {
            assert!(name.len() == 12 && name.starts_with("veth"), "{name}");
            names.insert(name.to_owned());
            if names.len() > clashes { Ok(()) } else { Err(taken()) }
        };
        let made = under_a_free_name("veth", attempt, || Ok(worth_it)).is_ok();
        (names.len(), made)
    }

    // Proves: PLG-COM-6
    #[test]
    fn ten_random_names_are_tried_and_no_more() {
        assert_eq!(names_tried(0, true), (1, true));
        assert_eq!(names_tried(9, true), (10, true));
        assert_eq!(names_tried(10, true), (10, false));
        assert_eq!(names_tried(1, false), (1, false));
    }

    #[test]
    fn other_refusals_are_not_tried_again() {
        let mut tried = 0;
        let attempt = |_: &str| -> Result<(), NetError> {
            tried += 1;
            Err(NetError::new("create veth", refused(Errno::EPERM, "")))
        };
        assert!(under_a_free_name("veth", attempt, || Ok(true)).unwrap_err().is_permission());
        assert_eq!(tried, 1);
    }
}
