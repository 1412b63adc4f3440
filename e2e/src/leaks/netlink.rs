//! What the kernel answers over netlink itself: rules, and whether there is anything that a tool has to be started for.
//!
//! A snapshot is taken thousands of times in a suite, and a process costs more than all listings of an empty namespace.
//! So `bridge`, `tc` and `nft` are run only where the kernel has objects of theirs. Whatever is passed over here is what
//! [`allowed`](super::allowed) takes out of their listings anyway.

#![expect(clippy::indexing_slicing, reason = "every length is compared before, and a test bed may panic")]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::Context as _;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::fact::{Facts, Fields, Kind};
use crate::netns;

/// The kernel fills at most 32 KiB per datagram of a listing.
const BUFFER_BYTES: usize = 64 * 1024;
const ANSWER_TIMEOUT_SECONDS: i64 = 10;
/// How often a listing that changed while it was read is read again.
const MAX_ATTEMPTS: usize = 32;

const HEADER_BYTES: usize = 16;
const REQUEST_AND_DUMP: u16 = 0x301;
const DUMP_WAS_INTERRUPTED: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;

const GET_RULE: u16 = 34;
const GET_NEIGHBOUR: u16 = 30;
const GET_QDISC: u16 = 38;
/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_GETTABLE`.
const GET_TABLE: u16 = 10 << 8 | 1;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const FAMILY_BRIDGE: u8 = 7;

/// What of a namespace needs a tool to be told.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// Entries of forwarding tables that no multicast group brings by itself.
    pub(super) forwarding: bool,
    /// Queueing disciplines that somebody set.
    pub(super) shaping: bool,
    /// Tables of nftables.
    pub(super) tables: bool,
}

/// Adds the rules, and says for what else a tool has to be started.
pub(super) fn look(place: &str, netns: &Path, facts: &mut Facts) -> anyhow::Result<Present> {
    let (rules, present) = netns::inside(netns, || -> io::Result<_> {
        let route = open(SockProtocol::NetlinkRoute)?;
        let rules =
            [FAMILY_IPV4, FAMILY_IPV6].map(|family| dump(&route, GET_RULE, &family_header(family, 12)));
        let forwarding = dump(&route, GET_NEIGHBOUR, &family_header(FAMILY_BRIDGE, 12))?;
        let shaping = dump(&route, GET_QDISC, &[0; 20])?;
        let present = Present {
            forwarding: forwarding.iter().any(|entry| !is_group(entry)),
            shaping: shaping.iter().any(|qdisc| !is_default_qdisc(qdisc)),
            tables: has_tables(),
        };
        Ok((rules, present))
    })?
    .context("cannot ask the kernel over netlink")?;
    for (family, rules) in ["IPv4", "IPv6"].into_iter().zip(rules) {
        for rule in rules.with_context(|| format!("cannot list the rules of {family}"))? {
            add_rule(place, family, &rule, facts);
        }
    }
    Ok(present)
}

/// A header that is zero but for the family in its first byte.
pub(super) fn family_header(family: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0; length];
    header[0] = family;
    header
}

/// Where the kernel cannot answer, `nft` is asked.
fn has_tables() -> bool {
    let tables = open(SockProtocol::NetlinkNetFilter).and_then(|socket| dump(&socket, GET_TABLE, &[0; 4]));
    tables.map_or(true, |tables| !tables.is_empty())
}

pub(super) fn open(protocol: SockProtocol) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_TIMEOUT_SECONDS))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// The bodies of all messages of a listing.
pub(super) fn dump(socket: &OwnedFd, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    for number in 1..=MAX_ATTEMPTS as u32 {
        send(socket.as_raw_fd(), &request(kind, number, body), MsgFlags::empty())?;
        if let Some(listed) = read_listing(socket, number)? {
            return Ok(listed);
        }
    }
    Err(io::Error::other("the listing changed each time it was read"))
}

fn request(kind: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(REQUEST_AND_DUMP.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Nothing where the listing changed while it was read.
fn read_listing(socket: &OwnedFd, number: u32) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut listed, mut interrupted) = (Vec::new(), false);
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for message in split(&buffer[..length], 4, |bytes| u32_at(bytes, 0) as usize) {
            if message.len() < HEADER_BYTES || u32_at(message, 8) != number {
                continue;
            }
            interrupted |= u16_at(message, 6) & DUMP_WAS_INTERRUPTED != 0;
            let body = &message[HEADER_BYTES..];
            match u16_at(message, 4) {
                DONE => return Ok((!interrupted).then_some(listed)),
                ERROR => return Err(io::Error::from_raw_os_error(-(u32_at(body, 0) as i32))),
                _ => listed.push(body.to_vec()),
            }
        }
    }
}

/// Parts that begin with their length and are aligned: messages, attributes.
fn split(bytes: &[u8], head: usize, length: impl Fn(&[u8]) -> usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let own =
            (rest.len() >= head).then(|| length(rest)).filter(|own| (head..=rest.len()).contains(own))?;
        let part = &rest[..own];
        rest = &rest[own.next_multiple_of(4).min(rest.len())..];
        Some(part)
    })
}

/// Number and value of each attribute behind a header.
pub(super) fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let parts = split(body.get(header..).unwrap_or_default(), 4, |bytes| u16_at(bytes, 0).into());
    parts.map(|part| (u16_at(part, 2) & 0x3fff, &part[4..]))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// An entry by which a link listens to a multicast group: the kernel's own.
pub(super) fn is_group(entry: &[u8]) -> bool {
    const LINK_LAYER_ADDRESS: u16 = 2;
    let found = attributes(entry, 12).find(|(number, _)| *number == LINK_LAYER_ADDRESS);
    found.is_some_and(|(_, mac)| mac.starts_with(&[0x33, 0x33]) || mac.starts_with(&[0x01, 0x00, 0x5e]))
}

/// What every link has that nobody shaped.
fn is_default_qdisc(qdisc: &[u8]) -> bool {
    const QDISC_KIND: u16 = 1;
    let found = attributes(qdisc, 20).find(|(number, _)| *number == QDISC_KIND);
    let name = found.map(|(_, name)| name.strip_suffix(&[0]).unwrap_or(name));
    name.is_some_and(|name| super::allowed::DEFAULT_QDISCS.iter().any(|default| default.as_bytes() == name))
}

/// Every byte of it, by the numbers of its attributes; named by priority, source and table.
fn add_rule(place: &str, family: &str, rule: &[u8], facts: &mut Facts) {
    const SOURCE: u16 = 2;
    const PRIORITY: u16 = 6;
    const TABLE: u16 = 15;
    let mut fields = Fields::from([("family".to_owned(), family.to_owned())]);
    fields.insert("header".to_owned(), hex(&rule[..rule.len().min(12)]));
    let (mut priority, mut source, mut table) = (0, "all".to_owned(), 0);
    for (number, value) in attributes(rule, 12) {
        match number {
            SOURCE => source = address(value),
            PRIORITY => priority = u32_at(value, 0),
            TABLE => table = u32_at(value, 0),
            _ => {}
        }
        fields.insert(format!("attribute {number}"), hex(value));
    }
    facts.add(place, Kind::Rule, format!("{priority} {source} {table}"), fields);
}

fn address(value: &[u8]) -> String {
    match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
        (Ok(four), _) => std::net::Ipv4Addr::from(four).to_string(),
        (_, Ok(six)) => std::net::Ipv6Addr::from(six).to_string(),
        _ => hex(value),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute as the kernel writes it, padded to four bytes.
    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(number.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn attributes_are_read_with_their_padding_and_no_further_than_they_reach() {
        let mut body = vec![0; 12];
        body.extend(attribute(1, b"abc"));
        body.extend(attribute(2, &[7]));
        let read = |body: &[u8]| attributes(body, 12).map(|(n, v)| (n, v.to_vec())).collect::<Vec<_>>();
        assert_eq!(read(&body), [(1, b"abc".to_vec()), (2, vec![7])]);
        // Cut short, or with a length of nothing.
        assert_eq!(read(&body[..21]).len(), 1);
        assert!(read(&[0; 32]).is_empty());
    }

    #[test]
    fn defaults_of_the_kernel_need_no_tool() {
        let qdisc = |kind: &[u8]| [vec![0; 20], attribute(1, kind)].concat();
        assert!(is_default_qdisc(&qdisc(b"noqueue\0")) && !is_default_qdisc(&qdisc(b"tbf\0")));
        let entry = |mac: [u8; 6]| [vec![0; 12], attribute(2, &mac)].concat();
        assert!(is_group(&entry([0x33, 0x33, 0, 0, 0, 1])) && !is_group(&entry([2, 0, 0, 0, 0, 1])));
        assert!(!is_group(&[0; 12]));
    }
}
