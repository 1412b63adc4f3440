//! Which VLANs a bridge port carries, and how: tagged or not, and which one untagged frames belong to.

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::{NetError, Why};
use crate::net::Net;

/// One VLAN, or a run of them that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeVlan {
    /// The first VLAN of the range.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Untagged frames that come in belong to it.
    pub pvid: bool,
    /// Its frames go out without a tag.
    pub untagged: bool,
}

/// Whose VLANs: those of a port, or those of the bridge itself as one of its own members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanOwner {
    /// A port of a bridge, by index.
    Port(u32),
    /// The bridge itself, by index.
    Bridge(u32),
}

impl BridgeVlan {
    /// One VLAN whose frames carry their tag.
    pub fn tagged(id: u16) -> Self {
        Self::tagged_range(id, id)
    }

    /// Several VLANs whose frames carry their tags.
    pub fn tagged_range(first: u16, last: u16) -> Self {
        Self { first, last, pvid: false, untagged: false }
    }

    /// The VLAN of frames without a tag, both ways.
    pub fn access(id: u16) -> Self {
        Self { first: id, last: id, pvid: true, untagged: true }
    }
}

impl Net {
    /// The VLANs of a port or bridge in ascending order, equal neighbours joined to ranges.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn bridge_vlans(&self, index: u32) -> Result<Vec<BridgeVlan>, NetError> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]));
        let what = || format!("list the VLANs of link {index}");
        let answers = self.dump(what, RouteNetlinkMessage::GetLink(message))?;
        let infos = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) if link.header.index == index => Some(link.attributes),
            _ => None,
        });
        let infos = infos.flatten().filter_map(|attribute| match attribute {
            LinkAttribute::AfSpecBridge(facts) => Some(facts),
            _ => None,
        });
        Ok(joined(infos.flatten()))
    }

    /// Adds VLANs; those already there take the new flags.
    ///
    /// # Errors
    /// If the kernel refuses one; it says why.
    pub fn add_bridge_vlans(&self, owner: VlanOwner, vlans: &[BridgeVlan]) -> Result<(), NetError> {
        let what = || format!("add VLANs {} to {owner:?}", text(vlans));
        self.send_vlans(what, owner, vlans, RouteNetlinkMessage::SetLink)
    }

    /// Removes VLANs; those that are not there are passed over by the kernel.
    ///
    /// # Errors
    /// If the kernel refuses; it says why.
    pub fn del_bridge_vlans(&self, owner: VlanOwner, vlans: &[BridgeVlan]) -> Result<(), NetError> {
        let what = || format!("remove VLANs {} from {owner:?}", text(vlans));
        self.send_vlans(what, owner, vlans, RouteNetlinkMessage::DelLink)
    }

    fn send_vlans(
        &self,
        what: impl Fn() -> String,
        owner: VlanOwner,
        vlans: &[BridgeVlan],
        verb: fn(LinkMessage) -> RouteNetlinkMessage,
    ) -> Result<(), NetError> {
        if vlans.is_empty() {
            return Ok(());
        }
        let mut facts = Vec::with_capacity(vlans.len() + 1);
        let index = match owner {
            VlanOwner::Port(index) => index,
            VlanOwner::Bridge(index) => {
                facts.push(AfSpecBridge::Flags(BridgeFlag::LowerDev));
                index
            }
        };
        for vlan in vlans {
            facts.extend(vlan.infos().map_err(|why| NetError::new(what(), why))?);
        }
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.header.index = index;
        message.attributes.push(LinkAttribute::AfSpecBridge(facts));
        self.request(what, verb(message), 0).map(drop)
    }
}

impl BridgeVlan {
    /// One entry for a single VLAN, two for the ends of a range.
    fn infos(self) -> Result<Vec<AfSpecBridge>, Why> {
        if self.first == 0 || self.first > self.last || self.last > 4094 {
            let text = format!("`{}-{}` is not a range within 1-4094", self.first, self.last);
            return Err(Why::Input(text));
        }
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, self.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, self.untagged);
        let info = |extra, vid| AfSpecBridge::VlanInfo(BridgeVlanInfo { flags: flags | extra, vid });
        Ok(if self.first == self.last {
            vec![info(BridgeVlanInfoFlags::empty(), self.first)]
        } else {
            vec![
                info(BridgeVlanInfoFlags::RangeBegin, self.first),
                info(BridgeVlanInfoFlags::RangeEnd, self.last),
            ]
        })
    }
}

fn joined(facts: impl Iterator<Item = AfSpecBridge>) -> Vec<BridgeVlan> {
    let mut vlans = Vec::new();
    let mut begun = None;
    for fact in facts {
        let AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid }) = fact else { continue };
        if flags.contains(BridgeVlanInfoFlags::RangeBegin) {
            begun = Some(vid);
            continue;
        }
        let first = begun.take().filter(|_| flags.contains(BridgeVlanInfoFlags::RangeEnd)).unwrap_or(vid);
        vlans.push(BridgeVlan {
            first,
            last: vid,
            pvid: flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: flags.contains(BridgeVlanInfoFlags::Untagged),
        });
    }
    vlans.sort();
    vlans
}

fn text(vlans: &[BridgeVlan]) -> String {
    let ranges: Vec<_> =
        vlans
            .iter()
            .map(|v| {
                if v.first == v.last { format!("`{}`", v.first) } else { format!("`{}-{}`", v.first, v.last) }
            })
            .collect();
    ranges.join(", ")
}
