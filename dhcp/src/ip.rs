//! The IPv4 and UDP headers around a DHCP message, for a link that has no address yet.

use std::net::Ipv4Addr;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const SERVER: u16 = 67;
const CLIENT: u16 = 68;

/// A datagram from the client's port to the server's.
pub fn wrap(from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp_length = UDP_HEADER + payload.len();
    let length = u16::try_from(IP_HEADER + udp_length).unwrap_or(u16::MAX);
    let udp_length = u16::try_from(udp_length).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0x10];
    header.extend(length.to_be_bytes());
    // No identification and never fragmented; a time to live of 64.
    header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    put_checksum(&mut header, 10, &[]);
    let mut datagram = Vec::with_capacity(usize::from(udp_length));
    datagram.extend(CLIENT.to_be_bytes());
    datagram.extend(SERVER.to_be_bytes());
    datagram.extend(udp_length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let [high, low] = udp_length.to_be_bytes();
    let pseudo: Vec<u8> = from.octets().into_iter().chain(to.octets()).chain([0, UDP, high, low]).collect();
    put_checksum(&mut datagram, 6, &pseudo);
    header.extend(datagram);
    header
}

/// The payload of a datagram from a server's port to a client's. The UDP checksum is not looked at: between namespaces
/// of one machine the kernel leaves it unfinished.
pub fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0x0f) * 4;
    let total = usize::from(number(packet, 2)?);
    let fragment = number(packet, 6)? & 0x3fff;
    if first >> 4 != 4 || header < IP_HEADER || *packet.get(9)? != UDP || fragment != 0 {
        return None;
    }
    let datagram = packet.get(header..total)?;
    if number(datagram, 0)? != SERVER || number(datagram, 2)? != CLIENT {
        return None;
    }
    datagram.get(UDP_HEADER..usize::from(number(datagram, 4)?))
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn put_checksum(bytes: &mut [u8], at: usize, pseudo: &[u8]) {
    let sum = match !folded(pseudo.iter().chain(bytes.iter()).copied()) {
        // In UDP zero means that there is none; both are zero in this arithmetic.
        0 => 0xffff,
        sum => sum,
    };
    let place = bytes.get_mut(at..at + 2).into_iter().flatten();
    place.zip(sum.to_be_bytes()).for_each(|(to, from)| *to = from);
}

/// The ones' complement sum of 16-bit words (RFC 1071).
fn folded(bytes: impl Iterator<Item = u8>) -> u16 {
    let sum = bytes
        .enumerate()
        .fold(0_u32, |sum, (n, byte)| sum + if n % 2 == 0 { u32::from(byte) << 8 } else { u32::from(byte) });
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checksums_add_up() {
        let packet = wrap(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, b"hello");
        assert_eq!(packet.len(), 33);
        assert_eq!(folded(packet[..20].iter().copied()), 0xffff);
        let pseudo = packet[12..20].iter().copied().chain([0, UDP, 0, 13]);
        assert_eq!(folded(pseudo.chain(packet[20..].iter().copied())), 0xffff);
    }

    #[test]
    fn a_reply_is_unwrapped_and_nothing_else_is() {
        let mut reply = wrap("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap(), b"offer");
        assert_eq!(unwrap(&reply), None, "it goes to a server");
        reply[20..24].copy_from_slice(&[0, 67, 0, 68]);
        assert_eq!(unwrap(&reply), Some(&b"offer"[..]));
        reply[6] |= 0x20;
        assert_eq!(unwrap(&reply), None, "a fragment");
    }

    proptest! {
        // Shows part of: S-8
        #[test]
        fn unwrapping_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = unwrap(&bytes);
        }
    }
}
