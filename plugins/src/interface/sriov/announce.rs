//! Tells the neighbours where an address is now (PLG-SRIOV-6): between two virtual functions there is no bridge whose
//! table a link going up would renew, and an address that moved with its pod would stay unheard until entries expire.
//!
//! The kernel tells of IPv6 addresses itself (`ndisc_notify`), after their duplicate detection. Of IPv4 ones it tells
//! when the link goes up (`arp_notify`), which on a card is a moment before anything can be sent.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use manifold_net::packet::{ARP, BROADCAST};
use manifold_net::{Mac, Net, PacketSocket};

/// A card takes a moment to have a link; before that nobody hears.
const CARRIER_PATIENCE: Duration = Duration::from_millis(200);

/// Neighbours that are not told find out by themselves, so nothing here can fail an ADD.
pub(super) fn announce(pod: &Net, index: u32, mac: Mac, addresses: &[Ipv4Addr], deadline: Instant) {
    let until = deadline.min(Instant::now() + CARRIER_PATIENCE);
    if addresses.is_empty() || !pod.wait_link_oper_up(index, until).unwrap_or(false) {
        return;
    }
    let send = || {
        let socket = PacketSocket::open(index, ARP)?;
        addresses.iter().try_for_each(|address| socket.send(BROADCAST, &gratuitous(mac, *address)))
    };
    if let Err(error) = pod.netns().run(send).map_err(std::io::Error::other).flatten() {
        tracing::debug!(%error, "the addresses of a virtual function could not be announced");
    }
}

/// The ARP request in which sender and target are the same.
fn gratuitous(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let own = address.octets();
    [&ETHERNET_IPV4_REQUEST, &mac.0[..], &own, &[0; 6], &own].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_has_the_address_on_both_sides() {
        let packet = gratuitous(Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 1, 0, 2));
        assert_eq!((packet.len(), &packet[8..14]), (28, &[2, 0, 0, 0, 0, 1][..]));
        assert_eq!((&packet[14..18], &packet[24..28]), (&[10, 1, 0, 2][..], &[10, 1, 0, 2][..]));
    }
}
