//! Virtual functions as the physical function's link sees and rules them: address, VLAN, rates, what they may do.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkMessage, LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac, VfInfoRate,
    VfInfoSpoofCheck, VfInfoTrust, VfInfoVlan, VfLinkState, VfVlan, VfVlanInfo, VlanProtocol,
};

use crate::error::NetError;
use crate::mac::Mac;
use crate::net::Net;

/// What the physical function tells of one virtual function. `None`: its driver does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vf {
    /// Its number at the physical function, from 0.
    pub number: u32,
    /// The address that the physical function enforces; all zeros for none.
    pub mac: Mac,
    /// The VLAN that its frames get; 0 is none.
    pub vlan: u16,
    /// The priority in that tag.
    pub qos: u8,
    /// Whether the tag is one of 802.1ad.
    pub service_vlan: bool,
    /// Whether frames with other source addresses are dropped.
    pub spoof_check: Option<bool>,
    /// Whether it may do what is privileged, such as promiscuous mode.
    pub trust: Option<bool>,
    /// Whether its link follows the physical one's.
    pub link_state: Option<VfState>,
    /// Mbit/s; 0 is no limit.
    pub min_tx_rate: u32,
    /// See `min_tx_rate`.
    pub max_tx_rate: u32,
}

/// Whether a virtual function's link follows the physical one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfState {
    /// It follows.
    Auto,
    /// It is up always.
    Enable,
    /// It is down always.
    Disable,
}

/// One thing to be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfChange {
    /// The address that it must use.
    Mac(Mac),
    /// VLAN 0 takes the tag away; a service VLAN is one of 802.1ad.
    Vlan {
        /// The VLAN.
        id: u16,
        /// The priority in the tag.
        qos: u8,
        /// Whether the tag is one of 802.1ad.
        service: bool,
    },
    /// The limits of what it sends.
    Rate {
        /// The least, in Mbit/s.
        min: u32,
        /// The most, in Mbit/s; 0 is no limit.
        max: u32,
    },
    /// Whether other source addresses are dropped.
    SpoofCheck(bool),
    /// Whether it may do what is privileged.
    Trust(bool),
    /// Whether its link follows the physical one's.
    LinkState(VfState),
}

impl Net {
    /// Every virtual function of a physical one.
    ///
    /// # Errors
    /// If the link is gone.
    pub fn vfs(&self, index: u32) -> Result<Vec<Vf>, NetError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes =
            vec![LinkAttribute::ExtMask(vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats])];
        let what = || format!("list the virtual functions of link {index}");
        let answers = self.request(what, RouteNetlinkMessage::GetLink(message), 0)?;
        let lists = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link.attributes),
            _ => None,
        });
        let lists = lists.flatten().filter_map(|attribute| match attribute {
            LinkAttribute::VfInfoList(list) => Some(list),
            _ => None,
        });
        Ok(lists.flatten().map(read).collect())
    }

    /// Changes one thing of a virtual function.
    ///
    /// # Errors
    /// If the driver does not allow it.
    pub fn change_vf(&self, index: u32, number: u32, change: VfChange) -> Result<(), NetError> {
        let info = match change {
            VfChange::Mac(mac) => VfInfo::Mac(VfInfoMac::new(number, &mac.0)),
            VfChange::Vlan { id, qos, service: false } => {
                VfInfo::Vlan(VfInfoVlan::new(number, id.into(), qos.into()))
            }
            VfChange::Vlan { id, qos, service: true } => VfInfo::VlanList(vec![VfVlan::Info(
                VfVlanInfo::new(number, id.into(), qos.into(), VlanProtocol::Ieee8021Ad),
            )]),
            VfChange::Rate { min, max } => VfInfo::Rate(VfInfoRate::new(number, min, max)),
            VfChange::SpoofCheck(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(number, on)),
            VfChange::Trust(on) => VfInfo::Trust(VfInfoTrust::new(number, on)),
            VfChange::LinkState(state) => VfInfo::LinkState(VfInfoLinkState::new(number, state.wire())),
        };
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![info])]));
        let what = || format!("change virtual function {number} of link {index} ({change:?})");
        self.request(what, RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }
}

fn read(LinkVfInfo(facts): LinkVfInfo) -> Vf {
    let mut vf = Vf::default();
    for fact in facts {
        match fact {
            VfInfo::Mac(info) => {
                vf.number = info.vf_id;
                vf.mac = info.mac.get(..6).and_then(Mac::from_slice).unwrap_or_default();
            }
            VfInfo::Vlan(info) => {
                vf.vlan = u16::try_from(info.vlan_id).unwrap_or_default();
                vf.qos = u8::try_from(info.qos).unwrap_or_default();
            }
            VfInfo::VlanList(list) => {
                vf.service_vlan = list.iter().any(
                    |vlan| matches!(vlan, VfVlan::Info(info) if info.protocol == VlanProtocol::Ieee8021Ad),
                );
            }
            VfInfo::Rate(info) => (vf.min_tx_rate, vf.max_tx_rate) = (info.min_tx_rate, info.max_tx_rate),
            VfInfo::SpoofCheck(info) => vf.spoof_check = Some(info.enabled),
            VfInfo::Trust(info) => vf.trust = Some(info.enabled),
            VfInfo::LinkState(info) => vf.link_state = VfState::from_wire(info.state),
            _ => {}
        }
    }
    vf
}

impl VfState {
    fn wire(self) -> VfLinkState {
        match self {
            Self::Auto => VfLinkState::Auto,
            Self::Enable => VfLinkState::Enable,
            Self::Disable => VfLinkState::Disable,
        }
    }

    fn from_wire(wire: VfLinkState) -> Option<Self> {
        match wire {
            VfLinkState::Auto => Some(Self::Auto),
            VfLinkState::Enable => Some(Self::Enable),
            VfLinkState::Disable => Some(Self::Disable),
            _ => None,
        }
    }
}
