//! A link as the kernel's message.

use std::time::Duration;

use netlink_packet_route::link::{
    BridgePortState, BridgeStpState, InfoBond, InfoBridge, InfoBridgePort, InfoData, InfoIpVlan, InfoMacVlan,
    InfoPortData, InfoVlan, InfoVrf, IpVlanFlags, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage, State,
};

use super::{BridgePort, IpvlanFlag, IpvlanMode, Link, MacvlanMode, ParentDevice};
use crate::mac::Mac;

impl Link {
    pub(crate) fn from_message(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            up: flags.contains(LinkFlags::Up),
            loopback: flags.contains(LinkFlags::Loopback),
            promisc: flags.contains(LinkFlags::Promisc),
            allmulti: flags.contains(LinkFlags::Allmulti),
            ..Self::default()
        };
        for attribute in message.attributes {
            link.take(attribute);
        }
        link.parent_device =
            link.parent_device.filter(|device| !device.bus.is_empty() && !device.name.is_empty());
        link
    }

    fn take(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::Address(bytes) => self.mac = Mac::from_slice(&bytes),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::OperState(state) => self.oper_up = state == State::Up,
            LinkAttribute::TxQueueLen(length) => self.tx_queue_len = length,
            LinkAttribute::Controller(index) => self.master = Some(index),
            LinkAttribute::Link(index) => self.peer_or_parent = Some(index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(id) => self.link_netnsid = Some(id),
            LinkAttribute::IfAlias(alias) => self.alias = Some(alias),
            LinkAttribute::PermAddress(bytes) => {
                self.permanent_mac = Mac::from_slice(&bytes).filter(|mac| !mac.is_zero());
            }
            LinkAttribute::ParentDevName(name) => self.parent().name = name,
            LinkAttribute::ParentDevBusName(bus) => self.parent().bus = bus,
            LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| self.take_info(info)),
            _ => {}
        }
    }

    fn parent(&mut self) -> &mut ParentDevice {
        self.parent_device.get_or_insert_default()
    }

    fn take_info(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
            LinkInfo::Data(data) => self.take_data(data),
            LinkInfo::PortData(InfoPortData::BridgePort(facts)) => {
                self.bridge_port = Some(bridge_port(&facts));
            }
            _ => {}
        }
    }

    fn take_data(&mut self, data: InfoData) {
        match data {
            InfoData::MacVlan(facts) => {
                for fact in facts {
                    match fact {
                        InfoMacVlan::Mode(mode) => {
                            self.macvlan_mode = Some(MacvlanMode::from_code(mode.into()));
                        }
                        InfoMacVlan::BcQueueLen(length) => self.macvlan_bc_queue_len = Some(length),
                        _ => {}
                    }
                }
            }
            InfoData::Bridge(facts) => self.take_bridge(&facts),
            InfoData::Vlan(facts) => {
                self.vlan_id =
                    facts.iter().find_map(|fact| if let InfoVlan::Id(id) = fact { Some(*id) } else { None });
            }
            InfoData::IpVlan(facts) => {
                self.ipvlan_flag = facts.iter().find_map(|f| {
                    if let InfoIpVlan::Flags(f) = f { Some(IpvlanFlag::from_wire(*f)) } else { None }
                });
                self.ipvlan_mode = facts
                    .iter()
                    .find_map(|f| if let InfoIpVlan::Mode(m) = f { IpvlanMode::from_wire(*m) } else { None });
            }
            InfoData::Bond(facts) => {
                self.bond_mode = facts
                    .iter()
                    .find_map(|f| if let InfoBond::Mode(m) = f { Some((*m).into()) } else { None });
            }
            InfoData::Vrf(facts) => {
                self.vrf_table = facts
                    .iter()
                    .find_map(|f| if let InfoVrf::TableId(table) = f { Some(*table) } else { None });
            }
            _ => {}
        }
    }
}

impl Link {
    fn take_bridge(&mut self, facts: &[InfoBridge]) {
        let mut has_tree = false;
        let mut delay = Duration::ZERO;
        for fact in facts {
            match fact {
                InfoBridge::VlanFiltering(on) => self.vlan_filtering = Some(*on),
                InfoBridge::StpState(state) => has_tree = *state != BridgeStpState::Disabled,
                InfoBridge::ForwardDelay(hundredths) => {
                    delay = Duration::from_millis(u64::from(*hundredths) * 10);
                }
                _ => {}
            }
        }
        self.forward_delay = has_tree.then_some(delay);
    }
}

fn bridge_port(facts: &[InfoBridgePort]) -> BridgePort {
    let mut port = BridgePort::default();
    for fact in facts {
        match fact {
            InfoBridgePort::State(state) => port.forwarding = *state == BridgePortState::Forwarding,
            InfoBridgePort::HairpinMode(on) => port.hairpin = *on,
            InfoBridgePort::Isolated(on) => port.isolated = *on,
            _ => {}
        }
    }
    port
}

impl IpvlanMode {
    pub(crate) fn wire(self) -> IpVlanMode {
        match self {
            Self::L2 => IpVlanMode::L2,
            Self::L3 => IpVlanMode::L3,
            Self::L3s => IpVlanMode::L3S,
        }
    }

    fn from_wire(wire: IpVlanMode) -> Option<Self> {
        match wire {
            IpVlanMode::L2 => Some(Self::L2),
            IpVlanMode::L3 => Some(Self::L3),
            IpVlanMode::L3S => Some(Self::L3s),
            _ => None,
        }
    }
}

impl IpvlanFlag {
    /// The kernel's word for `bridge` is none.
    pub(crate) fn wire(self) -> IpVlanFlags {
        match self {
            Self::Bridge => IpVlanFlags::empty(),
            Self::Private => IpVlanFlags::Private,
            Self::Vepa => IpVlanFlags::Vepa,
        }
    }

    fn from_wire(wire: IpVlanFlags) -> Self {
        match wire {
            _ if wire.contains(IpVlanFlags::Private) => Self::Private,
            _ if wire.contains(IpVlanFlags::Vepa) => Self::Vepa,
            _ => Self::Bridge,
        }
    }
}

impl MacvlanMode {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
            Self::Source => 16,
            Self::Other(code) => code,
        }
    }

    fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Private,
            2 => Self::Vepa,
            4 => Self::Bridge,
            8 => Self::Passthru,
            16 => Self::Source,
            other => Self::Other(other),
        }
    }
}
