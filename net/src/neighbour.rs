//! Which hardware addresses the kernel knows: of neighbours on a link, and of stations behind bridge ports.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::NetError;
use crate::mac::Mac;
use crate::net::Net;

/// A neighbour (with an `ip`), or an entry of a bridge's forwarding table (without).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Of the link.
    pub index: u32,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its hardware address; none while it is not known.
    pub mac: Option<Mac>,
    /// Whether it was configured.
    pub permanent: bool,
}

impl Net {
    /// The ARP and NDP tables of every link.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, NetError> {
        self.neighbour_table("list the neighbours", AddressFamily::Unspec)
    }

    /// The forwarding tables of every bridge.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn forwarding_entries(&self) -> Result<Vec<Neighbour>, NetError> {
        self.neighbour_table("list the forwarding tables of the bridges", AddressFamily::Bridge)
    }

    fn neighbour_table(&self, what: &str, family: AddressFamily) -> Result<Vec<Neighbour>, NetError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        let answers = self.dump(|| what.to_owned(), RouteNetlinkMessage::GetNeighbour(message))?;
        Ok(answers.into_iter().filter_map(read).collect())
    }
}

fn read(message: RouteNetlinkMessage) -> Option<Neighbour> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    let mut entry = Neighbour {
        index: message.header.ifindex,
        ip: None,
        mac: None,
        permanent: message.header.state == NeighbourState::Permanent,
    };
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => entry.ip = Some(ip.into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => entry.ip = Some(ip.into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => entry.mac = Mac::from_slice(&bytes),
            _ => {}
        }
    }
    Some(entry)
}
