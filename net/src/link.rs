//! What a link looks like, and which links there are.

use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};

use crate::error::{NetError, Why};
use crate::mac::Mac;
use crate::net::Net;

mod wire;

/// A link as the kernel reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number, which is unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, `macvlan` …; `None` for hardware and `lo`.
    pub kind: Option<String>,
    /// `None` when the link has no address of six bytes.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
    /// It was set up; whether it carries anything is [`Link::oper_up`].
    pub up: bool,
    /// The kernel calls its state "up": set up, with carrier, not waiting for anything.
    pub oper_up: bool,
    /// Whether it is `lo`.
    pub loopback: bool,
    /// Promiscuous on someone's explicit wish; being a bridge port does not count.
    pub promisc: bool,
    /// Whether it takes all multicast frames.
    pub allmulti: bool,
    /// The length of its transmit queue.
    pub tx_queue_len: u32,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// A veth's other end, or the link below a macvlan, ipvlan or VLAN. In another namespace if `link_netnsid` is set.
    pub peer_or_parent: Option<u32>,
    /// The number this namespace has for the one that `peer_or_parent` is in.
    pub link_netnsid: Option<i32>,
    /// A text that goes with it.
    pub alias: Option<String>,
    /// `Some` for macvlan links.
    pub macvlan_mode: Option<MacvlanMode>,
    /// `Some` for macvlan links.
    pub macvlan_bc_queue_len: Option<u32>,
    /// `Some` for bridges.
    pub vlan_filtering: Option<bool>,
    /// `Some` for bridges with a spanning tree: how long a port listens, and then how long it learns, before it forwards.
    pub forward_delay: Option<Duration>,
    /// `Some` for ports of a bridge.
    pub bridge_port: Option<BridgePort>,
    /// `Some` for VLAN links.
    pub vlan_id: Option<u16>,
    /// `Some` for ipvlan links.
    pub ipvlan_mode: Option<IpvlanMode>,
    /// `Some` for ipvlan links.
    pub ipvlan_flag: Option<IpvlanFlag>,
    /// `Some` for VRFs.
    pub vrf_table: Option<u32>,
    /// The kernel's number of a bond's mode: 0 balance-rr, 1 active-backup, and so on.
    pub bond_mode: Option<u8>,
    /// The address that hardware was made with. Nothing can change it.
    pub permanent_mac: Option<Mac>,
    /// The device of the machine behind the link, in every namespace (Linux 5.14).
    pub parent_device: Option<ParentDevice>,
}

/// Where a device of the machine is: `pci` and `0000:03:02.1`, `virtio` and `virtio0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentDevice {
    /// The kind of bus, as the kernel calls it.
    pub bus: String,
    /// The device's address or name on the bus.
    pub name: String,
}

/// What is particular to a link that is a port of a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgePort {
    /// Whether frames pass: a spanning tree may not have decided yet.
    pub forwarding: bool,
    /// Frames may leave by the port they came from.
    pub hairpin: bool,
    /// No frames to or from other isolated ports.
    pub isolated: bool,
}

/// How the macvlan links of one parent see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MacvlanMode {
    /// They reach each other directly.
    #[default]
    Bridge,
    /// They never reach each other.
    Private,
    /// They reach each other by a switch that sends frames back.
    Vepa,
    /// There is only one, with the parent's address.
    Passthru,
    /// They take frames from listed addresses only.
    Source,
    /// One that this library has no name for.
    Other(u32),
}

impl Link {
    /// Whether it is of that kind.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

/// At which layer the ipvlan links of one parent are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpvlanMode {
    /// By hardware address.
    #[default]
    L2,
    /// By IP address.
    L3,
    /// As `L3`, with the host's connection tracking seeing the traffic.
    L3s,
}

/// How the ipvlan links of one parent see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpvlanFlag {
    /// They reach each other directly.
    #[default]
    Bridge,
    /// They never reach each other.
    Private,
    /// They reach each other by a switch that sends frames back.
    Vepa,
}

impl Net {
    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn link(&self, name: &str) -> Result<Option<Link>, NetError> {
        let what = || format!("look up link `{name}`");
        check_name(name).map_err(|why| NetError::new(what(), why))?;
        self.one_link(what, 0, Some(name))
    }

    /// The link of that index, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>, NetError> {
        if index == 0 {
            return Ok(None); // To the kernel, 0 means "by name".
        }
        self.one_link(|| format!("look up link {index}"), index, None)
    }

    fn one_link(
        &self,
        what: impl Fn() -> String,
        index: u32,
        name: Option<&str>,
    ) -> Result<Option<Link>, NetError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        message.attributes.extend(name.map(|name| LinkAttribute::IfName(name.to_owned())));
        match self.request(what, RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(new_link)),
            Err(error) if error.is_no_device() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn links(&self) -> Result<Vec<Link>, NetError> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let answers = self.dump(|| "list the links".into(), RouteNetlinkMessage::GetLink(message))?;
        Ok(answers.into_iter().filter_map(new_link).collect())
    }
}

pub(crate) fn new_link(message: RouteNetlinkMessage) -> Option<Link> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
        _ => None,
    }
}

/// What the kernel would refuse with a bare number, or silently cut at a NUL.
pub(crate) fn check_name(name: &str) -> Result<(), Why> {
    let reason = match name {
        "" => "is empty",
        _ if name.len() > 15 => "is longer than 15 bytes",
        _ if name.contains('\0') => "contains a NUL byte",
        _ => return Ok(()),
    };
    Err(Why::Input(format!("the interface name {reason}; use one of 1 to 15 bytes")))
}
