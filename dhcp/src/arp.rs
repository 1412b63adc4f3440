//! ARP, as far as it tells whether an address is in use (RFC 5227): one question, and who answers for it.

use std::net::Ipv4Addr;

use manifold_net::Mac;

/// Ethernet, IPv4, and the lengths of their addresses.
const HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];

/// Who has this address? The sender claims none, so nobody's table changes.
pub fn probe(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let parts: [&[u8]; 6] = [&HEADER, &REQUEST, &mac.0, &[0; 4], &[0; 6], &address.octets()];
    parts.concat()
}

/// The hardware address whose owner says, in a request or a reply, that it has this address, or wants it too.
pub fn claims(packet: &[u8], address: Ipv4Addr) -> Option<Mac> {
    if packet.get(..6)? != HEADER {
        return None;
    }
    let mac = Mac(packet.get(8..14)?.try_into().ok()?);
    let (sender, target) = (packet.get(14..18)?, packet.get(24..28)?);
    let is_probe = packet.get(6..8)? == REQUEST && sender == [0; 4] && target == address.octets();
    (sender == address.octets() || is_probe).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_and_another_probe_claim_the_address_and_a_question_does_not() {
        let (ours, theirs) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let address = Ipv4Addr::new(10, 0, 0, 9);
        let probe_of_theirs = probe(theirs, address);
        assert_eq!(probe_of_theirs.len(), 28);
        assert_eq!(claims(&probe_of_theirs, address), Some(theirs));
        assert_eq!(claims(&probe(ours, address), "10.0.0.8".parse().unwrap()), None);
        let mut reply = probe_of_theirs;
        reply[7] = 2;
        reply[14..18].copy_from_slice(&address.octets());
        assert_eq!(claims(&reply, address), Some(theirs));
        reply[14..18].copy_from_slice(&[10, 0, 0, 7]);
        reply[7] = 1;
        assert_eq!(claims(&reply, address), None, "somebody who asks for it has it not");
        assert_eq!(claims(&reply[..20], address), None);
    }
}
