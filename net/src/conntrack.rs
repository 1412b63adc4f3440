//! Forgets connections that the kernel tracks, so that the rules decide anew about their next packet.
//!
//! A UDP flow has no end that the kernel could see: as long as it goes on, it is sent where the first packet went.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use crate::error::{NetError, Why};
use crate::net::{Family, Net};
use crate::netfilter::{attribute, exchange, message, open, protocol, put};
use crate::route::RouteKind;

const UDP: u8 = 17;
/// Subsystem 1 (connection tracking) with the message's own number.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// Which UDP flows to forget.
#[derive(Clone, Copy, Debug)]
pub struct UdpFlows<'a> {
    /// Of its addresses.
    pub family: Family,
    /// They were first sent to one of these ports; `None` means any port.
    pub to: Option<&'a [u16]>,
    /// Who answers them.
    pub answered: Answered,
}

/// Who answers a flow. A packet that rules led elsewhere is answered from another address than it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Whoever; the flow was sent to this host itself.
    ByAnyone,
    /// Another than this host, to which the flow was sent.
    ByAnother,
    /// This address, although the flow was sent to another.
    By(IpAddr),
}

/// Forgets these flows in the namespace of the calling thread. Returns how many there were.
///
/// # Errors
/// If connection tracking cannot be asked or does not forget a flow.
pub fn forget_udp(flows: UdpFlows<'_>) -> Result<usize, NetError> {
    let fail = |error| NetError::new("forget tracked UDP flows", Why::Socket(error));
    let protocol = protocol(flows.family);
    let mut socket = open().map_err(fail)?;
    let mut found = Vec::new();
    exchange(&mut socket, &message(GET, NLM_F_DUMP, protocol, &[]), |attributes| {
        if flows.has(attributes) == Some(true) {
            found.extend(flows.sent_to(attributes).map(|address| (address, key_of_flow(attributes))));
        }
    })
    .map_err(fail)?;
    if !matches!(flows.answered, Answered::By(_)) {
        found = to_this_host(found)?;
    }
    let mut forgotten = 0;
    for (_, key) in &found {
        match exchange(&mut socket, &message(DELETE, NLM_F_ACK, protocol, key), |_| {}) {
            Ok(()) => forgotten += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It ended meanwhile.
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(forgotten)
}

/// Those that were sent to an address of this host, as the kernel's routes tell it: others may well be to the same port, such
/// as every question to a name server.
fn to_this_host(found: Vec<(IpAddr, Vec<u8>)>) -> Result<Vec<(IpAddr, Vec<u8>)>, NetError> {
    if found.is_empty() {
        return Ok(found);
    }
    let host = Net::here()?;
    let mut is_own = BTreeMap::new();
    for (address, _) in &found {
        if !is_own.contains_key(address) {
            let route = host.route_to(*address)?;
            is_own.insert(*address, route.is_some_and(|route| route.kind == RouteKind::Local));
        }
    }
    Ok(found.into_iter().filter(|(address, _)| is_own.get(address) == Some(&true)).collect())
}

impl UdpFlows<'_> {
    /// Whether the flow is one of these; `None` if the kernel says too little of it.
    fn has(&self, flow: &[u8]) -> Option<bool> {
        let original = attribute(flow, CTA_TUPLE_ORIG)?;
        let protocol = attribute(original, CTA_TUPLE_PROTO)?;
        let port = u16::from_be_bytes(*attribute(protocol, CTA_PROTO_DST_PORT)?.first_chunk()?);
        let is_udp = attribute(protocol, CTA_PROTO_NUM)?.first() == Some(&UDP);
        if !is_udp || self.to.is_some_and(|ports| !ports.contains(&port)) {
            return Some(false);
        }
        let answers = self.address(attribute(flow, CTA_TUPLE_REPLY)?, CTA_IP_V4_SRC, CTA_IP_V6_SRC)?;
        let is_led_elsewhere = answers != self.sent_to(flow)?;
        Some(match self.answered {
            Answered::ByAnyone => true,
            Answered::ByAnother => is_led_elsewhere,
            Answered::By(address) => is_led_elsewhere && answers == address,
        })
    }

    fn sent_to(&self, flow: &[u8]) -> Option<IpAddr> {
        self.address(attribute(flow, CTA_TUPLE_ORIG)?, CTA_IP_V4_DST, CTA_IP_V6_DST)
    }

    fn address(&self, tuple: &[u8], v4: u16, v6: u16) -> Option<IpAddr> {
        let addresses = attribute(tuple, CTA_TUPLE_IP)?;
        Some(match self.family {
            Family::V4 => IpAddr::from(*attribute(addresses, v4)?.first_chunk::<4>()?),
            Family::V6 => IpAddr::from(*attribute(addresses, v6)?.first_chunk::<16>()?),
        })
    }
}

/// What names the flow to the kernel.
fn key_of_flow(attributes: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    for kind in [CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID] {
        if let Some(value) = attribute(attributes, kind) {
            let nested = if kind == CTA_TUPLE_ORIG { NESTED } else { 0 };
            put(&mut key, kind | nested, value);
        }
    }
    key
}
