//! Tells the neighbours where addresses are now (COMPAT-13, PLG-SRIOV-6). An address that moved to another pod would
//! stay unheard until the neighbours' entries expire, which takes up to half a minute.
//!
//! The kernel can announce by itself (`arp_notify`, `ndisc_notify`), but it does so the moment the link goes up. A port of
//! a bridge does not forward yet then, and a card cannot send yet. So this comes last, when frames get through. An IPv6
//! address whose duplicate detection still runs must not be announced: the kernel does it afterwards.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use manifold_cni::CniResult;
use manifold_net::packet::{ARP, BROADCAST, IPV6};
use manifold_net::{Mac, Net, PacketSocket};

use super::settings::Setting;

/// Has the kernel announce what [`announce`] must leave out.
pub(crate) const AFTER_DETECTION: Setting = ("ipv6", "ndisc_notify", "1");

/// A card takes a moment to have a link; before that nobody hears.
const CARRIER_PATIENCE: Duration = Duration::from_millis(200);
/// Where duplicate detection is off, an IPv6 address is usable a moment after the link is up.
const DETECTION_PATIENCE: Duration = Duration::from_millis(20);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
const ICMPV6: u8 = 58;

/// Announces those addresses of the result that are on this link. Neighbours that are not told find out by themselves, so
/// nothing here can fail an ADD.
pub(crate) fn announce(pod: &Net, index: u32, mac: Mac, result: &CniResult, own: usize, deadline: Instant) {
    let ips = result.ips.iter().filter(|ip| ip.interface == Some(own));
    let mut addresses: Vec<IpAddr> = ips.map(|ip| ip.address.addr()).collect();
    let until = deadline.min(Instant::now() + CARRIER_PATIENCE);
    if addresses.is_empty() || !pod.wait_link_oper_up(index, until).unwrap_or(false) {
        return;
    }
    if addresses.iter().any(IpAddr::is_ipv6) {
        let _ = pod.wait_dad(index, deadline.min(Instant::now() + DETECTION_PATIENCE));
        let usable = usable(pod, index);
        addresses.retain(|ip| ip.is_ipv4() || usable.contains(ip));
    }
    let sent = pod.netns().run(|| addresses.iter().try_for_each(|address| send(index, mac, *address)));
    if let Err(error) = sent.map_err(io::Error::other).flatten() {
        tracing::debug!(%error, "the addresses of an interface could not be announced");
    }
}

fn usable(pod: &Net, index: u32) -> Vec<IpAddr> {
    let there = pod.addresses(index).unwrap_or_default().into_iter();
    there
        .filter(|address| !address.tentative && !address.duplicate)
        .map(|address| address.ip.addr())
        .collect()
}

fn send(index: u32, mac: Mac, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(v4) => PacketSocket::open(index, ARP)?.send(BROADCAST, &gratuitous(mac, v4)),
        IpAddr::V6(v6) => PacketSocket::open(index, IPV6)?.send(ALL_NODES_MAC, &unsolicited(mac, v6)),
    }
}

/// The ARP request in which sender and target are the same.
fn gratuitous(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let own = address.octets();
    [&ETHERNET_IPV4_REQUEST, &mac.0[..], &own, &[0; 6], &own].concat()
}

/// The IPv6 packet of a neighbour advertisement that nobody asked for, and that overrides what neighbours remember
/// (RFC 4861, 7.2.6).
fn unsolicited(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    const ADVERTISEMENT: u8 = 136;
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend(TARGET_LINK_LAYER_ADDRESS);
    message.extend(mac.0);
    let length = [0, 32];
    let pseudo_header = [&address.octets()[..], &ALL_NODES.octets(), &[0, 0], &length, &[0, 0, 0, ICMPV6]];
    let checksum = internet_checksum(&[&pseudo_header.concat()[..], &message].concat());
    message.splice(2..4, checksum.to_be_bytes());
    let header = [&[0x60, 0, 0, 0][..], &length, &[ICMPV6, 255], &address.octets(), &ALL_NODES.octets()];
    [&header.concat()[..], &message].concat()
}

/// Over an even number of bytes.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks_exact(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[test]
    fn an_arp_announcement_has_the_address_on_both_sides() {
        let packet = gratuitous(MAC, Ipv4Addr::new(10, 1, 0, 2));
        assert_eq!((packet.len(), &packet[8..14]), (28, &[2, 0, 0, 0, 0, 1][..]));
        assert_eq!((&packet[14..18], &packet[24..28]), (&[10, 1, 0, 2][..], &[10, 1, 0, 2][..]));
    }

    #[test]
    fn a_neighbour_advertisement_overrides_and_its_checksum_is_right() {
        let address: Ipv6Addr = "fd00:1::50".parse().unwrap();
        let packet = unsolicited(MAC, address);
        assert_eq!((packet.len(), packet[4..8].to_vec()), (72, vec![0, 32, 58, 255]));
        assert_eq!((packet[40], packet[44]), (136, 0x20));
        assert_eq!((&packet[8..24], &packet[48..64]), (&address.octets()[..], &address.octets()[..]));
        assert_eq!(packet[66..72], MAC.0);
        // With the checksum in its place, the sum over pseudo header and message is all ones.
        let checked = [&packet[8..40], &[0, 0, 0, 32, 0, 0, 0, 58][..], &packet[40..]].concat();
        assert_eq!(internet_checksum(&checked), 0);
    }
}
