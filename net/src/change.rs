//! Changing and removing links: everything that is to change goes in one message.

use netlink_packet_route::link::{
    InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::NetError;
use crate::link::check_name;
use crate::mac::Mac;
use crate::net::Net;
use crate::netns::Netns;

/// What is to be different about a link; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChange<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: Option<u32>,
    /// Whether it is up.
    pub up: Option<bool>,
    /// Whether it takes frames to anybody.
    pub promisc: Option<bool>,
    /// Whether it takes all multicast frames.
    pub allmulti: Option<bool>,
    /// The length of its transmit queue.
    pub tx_queue_len: Option<u32>,
    /// `Some(0)` takes the link out of its bridge, bond or VRF.
    pub master: Option<u32>,
    /// `Some("")` removes it.
    pub alias: Option<&'a str>,
}

impl Net {
    /// Makes several changes to a link at once. The kernel applies address and MTU before it sets the link up.
    ///
    /// # Errors
    /// If the link is gone or the kernel refuses a value.
    pub fn change(&self, index: u32, change: &LinkChange<'_>) -> Result<(), NetError> {
        self.set(index, || format!("change link {index} ({change:?})"), change, None)
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// If the link is gone or the kernel refuses.
    pub fn set_up(&self, index: u32) -> Result<(), NetError> {
        let change = LinkChange { up: Some(true), ..LinkChange::default() };
        self.set(index, || format!("set link {index} up"), &change, None)
    }

    /// Sets a link down.
    ///
    /// # Errors
    /// If the link is gone.
    pub fn set_down(&self, index: u32) -> Result<(), NetError> {
        let change = LinkChange { up: Some(false), ..LinkChange::default() };
        self.set(index, || format!("set link {index} down"), &change, None)
    }

    /// Sets the hardware address.
    ///
    /// # Errors
    /// If the link is gone or the kernel refuses the address.
    pub fn set_mac(&self, index: u32, mac: Mac) -> Result<(), NetError> {
        let change = LinkChange { mac: Some(mac), ..LinkChange::default() };
        self.set(index, || format!("set the MAC of link {index} to `{mac}`"), &change, None)
    }

    /// Puts a link into a bridge, bond or VRF.
    ///
    /// # Errors
    /// If one of the links is gone or the master takes no such member.
    pub fn set_master(&self, index: u32, master: u32) -> Result<(), NetError> {
        let change = LinkChange { master: Some(master), ..LinkChange::default() };
        self.set(index, || format!("attach link {index} to link {master}"), &change, None)
    }

    /// Takes a link out of its bridge, bond or VRF.
    ///
    /// # Errors
    /// If the link is gone.
    pub fn clear_master(&self, index: u32) -> Result<(), NetError> {
        let change = LinkChange { master: Some(0), ..LinkChange::default() };
        self.set(index, || format!("detach link {index} from its master"), &change, None)
    }

    /// An empty alias removes it.
    ///
    /// # Errors
    /// If the link is gone or the text is too long.
    pub fn set_alias(&self, index: u32, alias: &str) -> Result<(), NetError> {
        let change = LinkChange { alias: Some(alias), ..LinkChange::default() };
        self.set(index, || format!("set the alias of link {index} to `{alias}`"), &change, None)
    }

    /// Gives a link another name.
    ///
    /// # Errors
    /// If the link is gone, or the name is taken or not valid.
    pub fn rename(&self, index: u32, name: &str) -> Result<(), NetError> {
        let change = LinkChange { name: Some(name), ..LinkChange::default() };
        self.set(index, || format!("rename link {index} to `{name}`"), &change, None)
    }

    /// Moves a link and changes it on arrival, all in one message: nobody sees a state between. What cannot be changed
    /// is an error, and the link may have moved all the same.
    ///
    /// # Errors
    /// If the link cannot be moved or changed.
    pub fn move_changed(&self, index: u32, netns: &Netns, change: &LinkChange<'_>) -> Result<(), NetError> {
        self.set(
            index,
            || format!("move link {index} to another namespace ({change:?})"),
            change,
            Some(netns),
        )
    }

    /// Sets whether frames may leave a bridge port by which they came.
    ///
    /// # Errors
    /// If the link is no port of a bridge.
    pub fn set_hairpin(&self, index: u32, on: bool) -> Result<(), NetError> {
        let what = || format!("set hairpin mode of bridge port {index} to `{on}`");
        self.set_bridge_port(index, what, InfoBridgePort::HairpinMode(on))
    }

    /// Sets whether a bridge port is isolated from other isolated ones.
    ///
    /// # Errors
    /// If the link is no port of a bridge.
    pub fn set_isolated(&self, index: u32, on: bool) -> Result<(), NetError> {
        let what = || format!("set isolation of bridge port {index} to `{on}`");
        self.set_bridge_port(index, what, InfoBridgePort::Isolated(on))
    }

    /// Removes a link; one that is gone already is an error that says so.
    ///
    /// # Errors
    /// If the link is gone or cannot be deleted.
    pub fn delete(&self, index: u32) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.request(|| format!("delete link {index}"), RouteNetlinkMessage::DelLink(message), 0).map(drop)
    }

    fn set(
        &self,
        index: u32,
        what: impl Fn() -> String,
        change: &LinkChange<'_>,
        netns: Option<&Netns>,
    ) -> Result<(), NetError> {
        if let Some(name) = change.name {
            check_name(name).map_err(|why| NetError::new(what(), why))?;
        }
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.interface_family = AddressFamily::Unspec;
        for (flag, wish) in [
            (LinkFlags::Up, change.up),
            (LinkFlags::Promisc, change.promisc),
            (LinkFlags::Allmulti, change.allmulti),
        ] {
            message.header.change_mask.set(flag, wish.is_some());
            message.header.flags.set(flag, wish == Some(true));
        }
        let attributes = &mut message.attributes;
        attributes.extend(netns.map(|netns| LinkAttribute::NetNsFd(netns.raw_fd())));
        attributes.extend(change.name.map(|name| LinkAttribute::IfName(name.to_owned())));
        attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        attributes.extend(change.tx_queue_len.map(LinkAttribute::TxQueueLen));
        attributes.extend(change.master.map(LinkAttribute::Controller));
        attributes.extend(change.alias.map(|alias| LinkAttribute::IfAlias(alias.to_owned())));
        self.request(what, RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    fn set_bridge_port(
        &self,
        index: u32,
        what: impl Fn() -> String,
        fact: InfoBridgePort,
    ) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![fact])),
        ]));
        // Port facts travel only in RTM_NEWLINK; without NLM_F_CREATE it changes and never makes a link.
        self.request(what, RouteNetlinkMessage::NewLink(message), 0).map(drop)
    }
}
