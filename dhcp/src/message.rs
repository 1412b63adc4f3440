//! DHCP messages: what the client says, and what a reply means.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use manifold_net::{Ipv4Net, Mac};
use serde::{Deserialize, Serialize};

/// Servers and relays of old drop what is shorter than a BOOTP message (RFC 1542, 2.1); zeros after the end pad.
const LEAST: usize = 300;

/// What stays the same over all messages of one lease.
#[derive(Clone, Debug)]
pub struct Client {
    pub mac: Mac,
    pub client_id: Vec<u8>,
    pub wishes: Wishes,
    /// Ask for replies to everybody (RFC 2131, 4.1).
    pub broadcast: bool,
}

/// What the plugin's configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Option 55, in order (PLG-DHCP-2).
    pub parameters: Vec<u8>,
    /// Options that the server is told, by number.
    pub provide: Vec<(u8, Vec<u8>)>,
    /// The metric of every route; 0 is none.
    pub priority: u32,
}

/// What the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    Discover { wanted: Option<Ipv4Addr> },
    Request { address: Ipv4Addr, server: Ipv4Addr },
    Renew { address: Ipv4Addr },
    Decline { address: Ipv4Addr, server: Ipv4Addr },
    Release { address: Ipv4Addr, server: Ipv4Addr },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Offer,
    Ack,
    Nak,
}

/// A server's reply, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub kind: Kind,
    pub address: Ipv4Addr,
    pub server: Option<Ipv4Addr>,
    pub mask: Option<Ipv4Addr>,
    pub routers: Vec<Ipv4Addr>,
    /// Option 121: no router is 0.0.0.0.
    pub classless: Option<Vec<(Ipv4Net, Ipv4Addr)>>,
    /// Option 33: networks by their class.
    pub classful: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Seconds.
    pub lease: Option<u32>,
    pub renew: Option<u32>,
    pub rebind: Option<u32>,
}

impl Client {
    pub fn encode(&self, xid: u32, saying: Saying) -> Vec<u8> {
        use Saying::{Decline, Discover, Release, Renew, Request};
        let none = Ipv4Addr::UNSPECIFIED;
        let (kind, own) = match saying {
            Discover { .. } => (MessageType::Discover, none),
            Request { .. } => (MessageType::Request, none),
            Renew { address } => (MessageType::Request, address),
            Decline { .. } => (MessageType::Decline, none),
            Release { address, .. } => (MessageType::Release, address),
        };
        let mut message = Message::new_with_id(xid, own, none, none, none, &self.mac.0);
        if self.broadcast && !matches!(saying, Renew { .. } | Release { .. }) {
            message.set_flags(Flags::default().set_broadcast());
        }
        let options = message.opts_mut();
        if matches!(saying, Discover { .. } | Request { .. } | Renew { .. }) {
            for (code, value) in &self.wishes.provide {
                let code = OptionCode::from(*code);
                options.insert(DhcpOption::Unknown(UnknownOption::new(code, value.clone())));
            }
            let parameters = self.wishes.parameters.iter().copied().map(OptionCode::from).collect();
            options.insert(DhcpOption::ParameterRequestList(parameters));
        }
        options.insert(DhcpOption::MessageType(kind));
        // What the configuration provides for option 61 has the last word.
        if !self.wishes.provide.iter().any(|(code, _)| *code == 61) {
            options.insert(DhcpOption::ClientIdentifier(self.client_id.clone()));
        }
        match saying {
            Discover { wanted } => {
                wanted.map(|address| options.insert(DhcpOption::RequestedIpAddress(address)));
            }
            Request { address, server } | Decline { address, server } => {
                options.insert(DhcpOption::RequestedIpAddress(address));
                options.insert(DhcpOption::ServerIdentifier(server));
            }
            Release { server, .. } => {
                options.insert(DhcpOption::ServerIdentifier(server));
            }
            Renew { .. } => {}
        }
        let mut bytes = Vec::with_capacity(400);
        message.encode(&mut Encoder::new(&mut bytes)).expect("a vector takes every option of these lengths");
        bytes.resize(bytes.len().max(LEAST), 0);
        bytes
    }

    /// A reply to this client, in this conversation; everything else on the link is not for us.
    pub fn decode(&self, xid: u32, bytes: &[u8]) -> Option<Reply> {
        let message = Message::decode(&mut Decoder::new(&only_read(bytes)?)).ok()?;
        if message.opcode() != Opcode::BootReply || message.xid() != xid || message.chaddr() != self.mac.0 {
            return None;
        }
        let options = message.opts();
        let kind = match options.get(OptionCode::MessageType)? {
            DhcpOption::MessageType(MessageType::Offer) => Kind::Offer,
            DhcpOption::MessageType(MessageType::Ack) => Kind::Ack,
            DhcpOption::MessageType(MessageType::Nak) => Kind::Nak,
            _ => return None,
        };
        let mut reply = Reply {
            kind,
            address: message.yiaddr(),
            server: None,
            mask: None,
            routers: Vec::new(),
            classless: None,
            classful: Vec::new(),
            lease: None,
            renew: None,
            rebind: None,
        };
        options.iter().for_each(|(_, option)| reply.take(option));
        Some(reply)
    }
}

/// The fixed part of a message with its magic number; options follow.
const FIXED: usize = 240;
/// Where the length of the hardware address lies, and what it is for Ethernet.
const HARDWARE_LENGTH: (usize, u8) = (2, 6);
/// Every option that [`Reply::take`] reads, and the message's type.
const READ: [u8; 9] = [1, 3, 33, 51, 53, 54, 58, 59, 121];

/// The message with only the options that are read. The library panics over some that are too short (81 among them) and
/// over a hardware address that is longer than its field, and whoever is on the link can send those.
fn only_read(bytes: &[u8]) -> Option<Vec<u8>> {
    let (at, ethernet) = HARDWARE_LENGTH;
    if *bytes.get(at)? != ethernet {
        return None;
    }
    let mut kept = bytes.get(..FIXED)?.to_vec();
    let mut rest = bytes.get(FIXED..)?;
    while let Some((code, after)) = rest.split_first() {
        match code {
            0 => rest = after,
            255 => break,
            code => {
                let length = usize::from(*after.first()?) + 1;
                let value = after.get(..length)?;
                if READ.contains(code) {
                    kept.push(*code);
                    kept.extend(value);
                }
                rest = after.get(length..)?;
            }
        }
    }
    kept.push(255);
    Some(kept)
}

impl Reply {
    fn take(&mut self, option: &DhcpOption) {
        match option {
            DhcpOption::ServerIdentifier(server) => self.server = Some(*server),
            DhcpOption::SubnetMask(mask) => self.mask = Some(*mask),
            DhcpOption::Router(routers) => self.routers.clone_from(routers),
            DhcpOption::ClasslessStaticRoute(routes) => self.classless = Some(routes.clone()),
            DhcpOption::StaticRoutingTable(routes) => self.classful.clone_from(routes),
            DhcpOption::AddressLeaseTime(seconds) => self.lease = Some(*seconds),
            DhcpOption::Renewal(seconds) => self.renew = Some(*seconds),
            DhcpOption::Rebinding(seconds) => self.rebind = Some(*seconds),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client() -> Client {
        let wishes =
            Wishes { parameters: vec![3, 1, 121], provide: vec![(12, b"cart-7".to_vec())], priority: 0 };
        Client { mac: Mac([2, 0, 0, 0, 0, 1]), client_id: b"\0c/n/i".to_vec(), wishes, broadcast: true }
    }

    fn said(saying: Saying) -> Message {
        let bytes = client().encode(7, saying);
        assert!(bytes.len() >= 300 && bytes.contains(&255));
        Message::decode(&mut Decoder::new(&bytes)).unwrap()
    }

    // Proves: PLG-DHCP-2
    #[test]
    fn a_discover_asks_for_the_parameters_and_tells_what_is_provided() {
        let message = said(Saying::Discover { wanted: None });
        assert!(message.flags().broadcast());
        let get = |code| message.opts().get(code).unwrap().clone();
        assert_eq!(get(OptionCode::ClientIdentifier), DhcpOption::ClientIdentifier(b"\0c/n/i".to_vec()));
        assert_eq!(get(OptionCode::Hostname), DhcpOption::Hostname("cart-7".into()));
        let asked = [OptionCode::Router, OptionCode::SubnetMask, OptionCode::ClasslessStaticRoute];
        assert_eq!(get(OptionCode::ParameterRequestList), DhcpOption::ParameterRequestList(asked.into()));
        assert!(message.opts().get(OptionCode::RequestedIpAddress).is_none());
    }

    #[test]
    fn a_release_names_address_and_server_and_asks_for_nothing() {
        let (address, server) = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
        let message = said(Saying::Release { address, server });
        assert_eq!(message.ciaddr(), address);
        assert!(!message.flags().broadcast());
        assert!(message.opts().get(OptionCode::ServerIdentifier).is_some());
        assert!(message.opts().get(OptionCode::ParameterRequestList).is_none());
    }

    /// Found by fuzzing: anybody on the link could end the daemon's thread.
    #[test]
    fn a_hardware_address_of_another_length_is_not_ours() {
        let mut reply = client().encode(7, Saying::Discover { wanted: None });
        for length in [0, 5, 7, 16, 17, 134, 255] {
            reply[2] = length;
            assert_eq!(client().decode(7, &reply), None, "{length}");
        }
    }

    #[test]
    fn only_replies_to_this_conversation_are_read() {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message =
            Message::new_with_id(7, none, [10, 0, 0, 9].into(), none, none, &[2, 0, 0, 0, 0, 1]);
        message.set_opcode(Opcode::BootReply);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Offer));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(60));
        let bytes = message.to_vec().unwrap();
        let reply = client().decode(7, &bytes).unwrap();
        assert_eq!((reply.kind, reply.lease, reply.mask), (Kind::Offer, Some(60), None));
        assert!(client().decode(8, &bytes).is_none());
        let other = Client { mac: Mac([2, 0, 0, 0, 0, 2]), ..client() };
        assert!(other.decode(7, &bytes).is_none());
    }

    fn header() -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(0, none, none, none, none, &client().mac.0);
        message.set_opcode(Opcode::BootReply);
        message.to_vec().unwrap()[..FIXED].to_vec()
    }

    #[test]
    fn options_that_are_not_read_do_no_harm() {
        let message = |options: &[u8]| [header(), options.to_vec()].concat();
        let offer = client().decode(0, &message(&[81, 1, 0, 53, 1, 2, 0, 0, 1, 4, 255, 0, 0, 0, 255]));
        assert_eq!(offer.unwrap().mask, Some([255, 0, 0, 0].into()));
        assert!(client().decode(0, &message(&[53, 1, 2, 3, 200, 1])).is_none(), "cut off");
    }

    proptest! {
        // Shows part of: S-8
        #[test]
        fn reading_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            options in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..24)), 0..8),
        ) {
            let _ = client().decode(0, &bytes);
            let mut message = header();
            for (code, value) in options {
                message.extend([READ[code.index(READ.len())], u8::try_from(value.len()).unwrap()]);
                message.extend(value);
            }
            let _ = client().decode(0, &message);
        }
    }
}
