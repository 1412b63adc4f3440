//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::error::NetError;
use crate::net::{Family, Net};

/// An address as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Of its link.
    pub index: u32,
    /// The address itself with the length of its network's prefix.
    pub ip: IpNet,
    /// 0 is global, 253 link, 254 host.
    pub scope: u8,
    /// Duplicate address detection is not over; the address cannot be used yet.
    pub tentative: bool,
    /// Someone else on the link has this address.
    pub duplicate: bool,
    /// It does not expire: configured, not learned from a router.
    pub permanent: bool,
    /// An old name for it (IPv4), `eth0:1` for example.
    pub label: Option<String>,
}

/// How an address is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressOptions {
    /// No duplicate address detection (IPv6).
    pub no_dad: bool,
    /// No route to the address's network.
    pub no_prefix_route: bool,
    /// An address that is there already is brought in line instead of being an error.
    pub replace: bool,
}

impl Net {
    /// The addresses of one link, of both families.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn addresses(&self, link_index: u32) -> Result<Vec<Address>, NetError> {
        let mut message = AddressMessage::default();
        message.header.index = link_index;
        let what = || format!("list the addresses of link {link_index}");
        match self.dump(what, RouteNetlinkMessage::GetAddress(message)) {
            // Kernels that can, filter. On others the whole list comes.
            Ok(answers) => {
                Ok(answers.into_iter().filter_map(read).filter(|a| a.index == link_index).collect())
            }
            Err(error) if error.is_no_device() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The addresses of every link.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn all_addresses(&self) -> Result<Vec<Address>, NetError> {
        let message = AddressMessage::default();
        let answers = self.dump(|| "list the addresses".into(), RouteNetlinkMessage::GetAddress(message))?;
        Ok(answers.into_iter().filter_map(read).collect())
    }

    /// Adds an address; IPv4 networks of more than two addresses get their broadcast address with it.
    ///
    /// # Errors
    /// If the link is gone, or has the address and `replace` is not set.
    pub fn add_address(&self, link_index: u32, ip: IpNet, options: AddressOptions) -> Result<(), NetError> {
        let mut message = write(link_index, ip);
        if let IpNet::V4(ip) = ip
            && ip.prefix_len() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(ip.broadcast()));
        }
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Nodad, options.no_dad);
        flags.set(AddressFlags::Noprefixroute, options.no_prefix_route);
        if !flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        let how = if options.replace { NLM_F_REPLACE } else { NLM_F_EXCL };
        let what = || format!("add address `{ip}` to link {link_index}");
        self.request(what, RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | how).map(drop)
    }

    /// Removes an address; one that is not there is an error that says so.
    ///
    /// # Errors
    /// If the link or the address is gone.
    pub fn del_address(&self, link_index: u32, ip: IpNet) -> Result<(), NetError> {
        let what = || format!("remove address `{ip}` from link {link_index}");
        self.request(what, RouteNetlinkMessage::DelAddress(write(link_index, ip)), 0).map(drop)
    }
}

fn write(link_index: u32, ip: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = Family::of(ip.addr()).code();
    message.header.prefix_len = ip.prefix_len();
    message.header.index = link_index;
    message.attributes = vec![AddressAttribute::Local(ip.addr()), AddressAttribute::Address(ip.addr())];
    message
}

fn read(message: RouteNetlinkMessage) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let (mut local, mut address, mut label) = (None::<IpAddr>, None::<IpAddr>, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in message.attributes {
        match attribute {
            // With a peer, `Address` is the peer's; IPv6 without one has only `Address`.
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => address = Some(ip),
            AddressAttribute::Label(text) => label = Some(text),
            AddressAttribute::Flags(wide) => flags = wide,
            _ => {}
        }
    }
    Some(Address {
        index: message.header.index,
        ip: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        scope: message.header.scope.into(),
        tentative: flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Dadfailed),
        duplicate: flags.contains(AddressFlags::Dadfailed),
        permanent: flags.contains(AddressFlags::Permanent),
        label,
    })
}
