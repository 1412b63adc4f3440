//! Forgets connections that the kernel tracks, so that their next packet is looked at anew.
//!
//! A UDP flow has no end that the kernel could see: as long as it goes on, it is sent where the first packet went.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use crate::error::{NetError, Why};
use crate::net::Family;
use crate::netfilter::{attribute, exchange, message, open, protocol, put};

const UDP: u8 = 17;
/// Subsystem 1 (connection tracking) with the message's own number.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Forgets the UDP flows that were first sent to one of these ports, in the namespace of the calling thread. Returns
/// how many there were.
pub fn forget_udp(family: Family, ports: &[u16]) -> Result<usize, NetError> {
    let fail = |error| NetError::new("forget tracked UDP flows", Why::Socket(error));
    let mut socket = open().map_err(fail)?;
    let mut keys = Vec::new();
    exchange(&mut socket, &message(GET, NLM_F_DUMP, protocol(family), &[]), |attributes| {
        keys.extend(key_of_flow_to(attributes, ports));
    })
    .map_err(fail)?;
    let mut forgotten = 0;
    for key in &keys {
        match exchange(&mut socket, &message(DELETE, NLM_F_ACK, protocol(family), key), |_| {}) {
            Ok(()) => forgotten += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It ended meanwhile.
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(forgotten)
}

/// What names the flow to the kernel, if it is a UDP flow to one of the ports.
fn key_of_flow_to(attributes: &[u8], ports: &[u16]) -> Option<Vec<u8>> {
    let original = attribute(attributes, CTA_TUPLE_ORIG)?;
    let protocol = attribute(original, CTA_TUPLE_PROTO)?;
    let port = u16::from_be_bytes(*attribute(protocol, CTA_PROTO_DST_PORT)?.first_chunk()?);
    if attribute(protocol, CTA_PROTO_NUM)?.first() != Some(&UDP) || !ports.contains(&port) {
        return None;
    }
    let mut key = Vec::new();
    for kind in [CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID] {
        if let Some(value) = attribute(attributes, kind) {
            let nested = if kind == CTA_TUPLE_ORIG { 0x8000 } else { 0 };
            put(&mut key, kind | nested, value);
        }
    }
    Some(key)
}
