//! Making links of the kinds that need little: dummy, ifb, VLAN, ipvlan, VRF, bond.

use netlink_packet_route::link::{
    InfoBond, InfoData, InfoIpVlan, InfoKind, InfoVlan, InfoVrf, LinkAttribute, LinkInfo,
};

use crate::create::{kind, link_message};
use crate::error::NetError;
use crate::link::{IpvlanFlag, IpvlanMode, Link};
use crate::mac::Mac;
use crate::net::Net;

/// What all kinds have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// `None` leaves the kernel's choice, here and for the MTU.
    pub mac: Option<Mac>,
    /// See `mac`.
    pub mtu: Option<u32>,
    /// Whether it is set up at once.
    pub up: bool,
    /// The namespace it lives in; `None` for that of the [`Net`] that makes it, where its parent is too.
    pub target: Option<&'a Net>,
}

/// A bond's own settings by the kernel's numbers; `None` leaves its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BondSpec {
    /// 0 balance-rr, 1 active-backup, 2 balance-xor, 3 broadcast, 4 802.3ad, 5 balance-tlb, 6 balance-alb.
    pub mode: u8,
    /// Milliseconds between looks at the members' carrier.
    pub miimon: Option<u32>,
    /// 0 none, 1 active, 2 follow.
    pub fail_over_mac: Option<u8>,
    /// Whether frames that arrive at a member that is not active are taken.
    pub all_members_active: Option<bool>,
    /// Whether balance-tlb moves flows between members.
    pub tlb_dynamic_lb: Option<bool>,
    /// 0 layer2, 1 layer3+4, 2 layer2+3, 3 encap2+3, 4 encap3+4, 5 vlan+srcmac.
    pub xmit_hash_policy: Option<u8>,
}

impl Net {
    /// Makes a link that leads nowhere.
    ///
    /// # Errors
    /// If the name is taken, or the kernel lacks the kind.
    pub fn add_dummy(&self, new: &NewLink<'_>) -> Result<Link, NetError> {
        self.add_plain(new, InfoKind::Dummy)
    }

    /// An intermediate functional block: traffic redirected to it can be shaped.
    ///
    /// # Errors
    /// If the name is taken, or the kernel lacks the kind.
    pub fn add_ifb(&self, new: &NewLink<'_>) -> Result<Link, NetError> {
        self.add_plain(new, InfoKind::Ifb)
    }

    /// Makes a VLAN link.
    ///
    /// # Errors
    /// If the name or the VLAN is taken, or the kernel lacks the kind.
    pub fn add_vlan(&self, new: &NewLink<'_>, parent_index: u32, id: u16) -> Result<Link, NetError> {
        let what = || format!("create VLAN {id} `{}` on link {parent_index}", new.name);
        let data = kind(InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(id)]));
        self.add_kind(what, new, Some(parent_index), data)
    }

    /// The new link has its parent's MAC; one in `new` is refused by the kernel.
    ///
    /// # Errors
    /// If the name is taken, or the parent cannot have ipvlan links in this mode.
    pub fn add_ipvlan(
        &self,
        new: &NewLink<'_>,
        parent_index: u32,
        mode: IpvlanMode,
        flag: IpvlanFlag,
    ) -> Result<Link, NetError> {
        let facts = vec![InfoIpVlan::Mode(mode.wire()), InfoIpVlan::Flags(flag.wire())];
        let what = || format!("create ipvlan `{}` on link {parent_index}", new.name);
        let data = kind(InfoKind::IpVlan, InfoData::IpVlan(facts));
        self.add_kind(what, new, Some(parent_index), data)
    }

    /// Makes a VRF with that routing table.
    ///
    /// # Errors
    /// If the name is taken, or the kernel lacks the kind.
    pub fn add_vrf(&self, new: &NewLink<'_>, table: u32) -> Result<Link, NetError> {
        let what = || format!("create VRF `{}` with table {table}", new.name);
        self.add_kind(what, new, None, kind(InfoKind::Vrf, InfoData::Vrf(vec![InfoVrf::TableId(table)])))
    }

    /// Makes a bond without members.
    ///
    /// # Errors
    /// If the name is taken, or the kernel refuses a setting.
    pub fn add_bond(&self, new: &NewLink<'_>, bond: &BondSpec) -> Result<Link, NetError> {
        let mut facts = vec![InfoBond::Mode(bond.mode.into())];
        facts.extend(bond.miimon.map(InfoBond::MiiMon));
        facts.extend(bond.fail_over_mac.map(|number| InfoBond::FailOverMac(number.into())));
        facts.extend(bond.all_members_active.map(|on| InfoBond::AllPortsActive(u8::from(on).into())));
        facts.extend(bond.tlb_dynamic_lb.map(InfoBond::TlbDynamicLb));
        facts.extend(bond.xmit_hash_policy.map(|number| InfoBond::XmitHashPolicy(number.into())));
        let what = || format!("create bond `{}`", new.name);
        self.add_kind(what, new, None, kind(InfoKind::Bond, InfoData::Bond(facts)))
    }

    fn add_plain(&self, new: &NewLink<'_>, info: InfoKind) -> Result<Link, NetError> {
        let what = format!("create {info} `{}`", new.name);
        self.add_kind(|| what.clone(), new, None, LinkAttribute::LinkInfo(vec![LinkInfo::Kind(info)]))
    }

    fn add_kind(
        &self,
        what: impl Fn() -> String,
        new: &NewLink<'_>,
        parent_index: Option<u32>,
        kind: LinkAttribute,
    ) -> Result<Link, NetError> {
        let mut message = link_message(new.name, new.mac, new.mtu, new.up);
        message.attributes.extend(parent_index.map(LinkAttribute::Link));
        message.attributes.push(kind);
        self.create_in(what, new.name, message, new.target)
    }
}
