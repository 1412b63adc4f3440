//! Forgets connections that the kernel tracks, so that their next packet is looked at anew.
//!
//! A UDP flow has no end that the kernel could see: as long as it goes on, it is sent where the first packet went.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::channel::Messages;
use crate::error::{NetError, Why};
use crate::net::Family;

const UDP: u8 = 17;
/// Subsystem 1 (connection tracking) with the message's own number.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
const SILENCE: i64 = 5;
const BUFFER: usize = 64 * 1024;

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
    exchange(&mut socket, &message(GET, NLM_F_DUMP, family, &[]), |attributes| {
        keys.extend(key_of_flow_to(attributes, ports));
    })
    .map_err(fail)?;
    let mut forgotten = 0;
    for key in &keys {
        match exchange(&mut socket, &message(DELETE, NLM_F_ACK, family, key), |_| {}) {
            Ok(()) => forgotten += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It ended meanwhile.
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(forgotten)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.set_cap_ack(true)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(SILENCE))?;
    Ok(socket)
}

/// Header, four bytes that name the family, attributes.
fn message(kind: u16, flags: u16, family: Family, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("a key of one flow is short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]); // One request at a time: neither number nor sender matters.
    bytes.extend([if family == Family::V4 { 2 } else { 10 }, 0, 0, 0]);
    bytes.extend_from_slice(attributes);
    bytes
}

fn exchange(socket: &mut Socket, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    socket.send(request, 0)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        for message in Messages(&buffer) {
            let (header, payload) = message.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            match header.message_type {
                NLMSG_DONE | NLMSG_ERROR => return verdict(payload),
                _ => each(payload.get(4..).unwrap_or_default()),
            }
        }
    }
}

fn verdict(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        Some(code) if code < 0 => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Ok(()),
    }
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
            key.extend(u16::try_from(value.len() + 4).ok()?.to_ne_bytes());
            key.extend((kind | nested).to_ne_bytes());
            key.extend_from_slice(value);
            key.resize(key.len().next_multiple_of(4), 0);
        }
    }
    Some(key)
}

fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let found = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let value = rest.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}
