//! The kernel's packet filter and connection tracking, asked without a tool. A question takes a tenth of a millisecond
//! here, and some milliseconds by `nft` or `iptables`, each of which is a process.

mod rules;

use std::io;

use netlink_packet_core::{NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::channel::Messages;
use crate::net::Family;

pub(crate) use rules::{chains, rules};

/// Seconds in which the kernel answers, or never will.
const SILENCE: i64 = 5;
const BUFFER: usize = 64 * 1024;

/// A connection to the namespace of the calling thread.
pub(crate) fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.set_cap_ack(true)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(SILENCE))?;
    Ok(socket)
}

/// What the kernel calls IPv4 and IPv6 (`NFPROTO_*`).
pub(crate) fn protocol(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// Header, four bytes that name the protocol, attributes.
pub(crate) fn message(kind: u16, flags: u16, protocol: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("what names one thing is short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]); // One request at a time: neither number nor sender matters.
    bytes.extend([protocol, 0, 0, 0]);
    bytes.extend_from_slice(attributes);
    bytes
}

/// Sends a request, and hands out the attributes of each answer. A listing during which something changed is an error
/// of kind `Interrupted`.
pub(crate) fn exchange(socket: &mut Socket, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    socket.send(request, 0)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut is_whole = true;
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        for message in Messages(&buffer) {
            let (header, payload) = message.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            is_whole &= header.flags & NLM_F_DUMP_INTR == 0;
            match header.message_type {
                NLMSG_DONE | NLMSG_ERROR if is_whole => return verdict(payload),
                NLMSG_DONE | NLMSG_ERROR => return Err(io::ErrorKind::Interrupted.into()),
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

/// Adds an attribute to those of a request. None is added of a value that no attribute could hold.
pub(crate) fn put(attributes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len() + 4) else { return };
    attributes.extend(length.to_ne_bytes());
    attributes.extend(kind.to_ne_bytes());
    attributes.extend_from_slice(value);
    attributes.resize(attributes.len().next_multiple_of(4), 0);
}

/// The value of the first attribute of this kind.
pub(crate) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
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
