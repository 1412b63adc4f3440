//! The CIDR of a block: 16 aligned addresses, an IPv4 /28 or an IPv6 /124, and the addresses in it.
//!
//! Every domain is cut into the same blocks, whatever ranges lie over it. So the name of a block is the lock of its
//! addresses, and it has exactly one spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use manifold_cni::name::printable;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Domain;

/// How many addresses a block has.
pub const BLOCK_ADDRESSES: u8 = 16;

/// The place of an address in its block, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u8);

impl Offset {
    /// None above 15.
    pub fn new(offset: u8) -> Option<Self> {
        (offset < BLOCK_ADDRESSES).then_some(Self(offset))
    }

    /// All 16, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..BLOCK_ADDRESSES).map(Self)
    }

    /// As a number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The bit that stands for it in a mask of 16.
    pub fn bit(self) -> u16 {
        1 << self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Offset {
    type Err = BadCidr;

    fn from_str(raw: &str) -> Result<Self, BadCidr> {
        let canonical = |n: &u8| n.to_string() == raw;
        raw.parse()
            .ok()
            .filter(canonical)
            .and_then(Self::new)
            .ok_or_else(|| BadCidr::new(raw, "is not an offset; write a number from 0 to 15"))
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// Sixteen aligned addresses, known by the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockCidr(IpAddr);

/// Text that is no block's start or name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{raw}` {why}")]
pub struct BadCidr {
    raw: String,
    why: &'static str,
}

impl BadCidr {
    fn new(raw: &str, why: &'static str) -> Self {
        Self { raw: printable(raw), why }
    }
}

impl BlockCidr {
    /// The block that an address lies in.
    pub fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xf)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0xf)),
        })
    }

    /// Its first address.
    pub fn start(self) -> IpAddr {
        self.0
    }

    /// Its last address.
    pub fn last(self) -> IpAddr {
        self.address(Offset(BLOCK_ADDRESSES - 1))
    }

    /// Of its addresses.
    pub fn is_ipv4(self) -> bool {
        self.0.is_ipv4()
    }

    /// The address at an offset.
    pub fn address(self, offset: Offset) -> IpAddr {
        match self.0 {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | u32::from(offset.0))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | u128::from(offset.0))),
        }
    }

    /// Where an address lies in its block.
    pub fn offset_of(address: IpAddr) -> Offset {
        Offset(match address {
            IpAddr::V4(v4) => v4.octets()[3] & 0xf,
            IpAddr::V6(v6) => v6.octets()[15] & 0xf,
        })
    }

    /// The name of its object in a domain, such as `default.10-1-7-16`.
    pub fn object_name(self, domain: &Domain) -> String {
        format!("{domain}.{}", self.to_string().replace(['.', ':'], "-"))
    }

    /// The domain and block that an object is named for. Only the one spelling that [`Self::object_name`] has.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse_object_name(raw: &str) -> Result<(Domain, Self), BadCidr> {
        let bad = || {
            BadCidr::new(
                raw,
                "is not a name of an AddressBlock; it is the domain, a dot and the block's first address with `-`, as in `default.10-1-7-16`",
            )
        };
        let (domain, start) = raw.split_once('.').ok_or_else(bad)?;
        let separator = if start.len() > 15 { ":" } else { "." };
        let cidr: Self = start.replace('-', separator).parse().map_err(|_| bad())?;
        let domain: Domain = domain.parse().map_err(|_| bad())?;
        if cidr.object_name(&domain) == raw { Ok((domain, cidr)) } else { Err(bad()) }
    }
}

/// IPv6 in full length and small letters: the one spelling.
impl fmt::Display for BlockCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => {
                for (n, group) in v6.segments().into_iter().enumerate() {
                    write!(f, "{}{group:04x}", if n == 0 { "" } else { ":" })?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for BlockCidr {
    type Err = BadCidr;

    fn from_str(raw: &str) -> Result<Self, BadCidr> {
        let address: IpAddr = raw.parse().map_err(|_| {
            BadCidr::new(raw, "is not a block's first address; write one such as `10.1.7.16`")
        })?;
        if let IpAddr::V6(v6) = address
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(BadCidr::new(raw, "is an IPv4 address in IPv6 form; write it as IPv4"));
        }
        let block = Self::of(address);
        if block.0 != address {
            return Err(BadCidr::new(raw, "does not begin a block; its last four bits must be 0"));
        }
        if block.to_string() != raw {
            return Err(BadCidr::new(
                raw,
                "is not how a block is written; IPv6 has all 32 digits, in small letters",
            ));
        }
        Ok(block)
    }
}

impl Serialize for BlockCidr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockCidr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Shows part of: IPAM-15
    #[test]
    fn a_block_has_one_spelling() {
        let v6 = "fd00:0000:0000:0000:0000:0000:0000:00a0";
        assert_eq!(BlockCidr::of("fd00::af".parse().unwrap()).to_string(), v6);
        for good in [v6, "10.1.7.16", "10.1.7.0", "255.255.255.240", "0.0.0.0"] {
            assert_eq!(good.parse::<BlockCidr>().unwrap().to_string(), good);
        }
        let bad = [
            "",
            "10.1.7.17",
            "10.1.7.016",
            "10.1.7",
            "10.1.7.16/28",
            " 10.1.7.16",
            "fd00::a0",
            "fd00::A0",
            "::",
            "fd00::af",
            "FD00:0000:0000:0000:0000:0000:0000:00a0",
            "0000:0000:0000:0000:0000:ffff:0a01:0710",
            "fd00::a0%eth0",
            "10.1.7.١٦",
        ];
        for raw in bad {
            assert!(raw.parse::<BlockCidr>().is_err(), "{raw:?}");
        }
    }

    #[test]
    fn an_objects_name_says_domain_and_block() {
        let domain: Domain = "default".parse().unwrap();
        for start in ["10.1.7.16", "fd00:0000:0000:0000:0000:0000:0000:00a0"] {
            let cidr: BlockCidr = start.parse().unwrap();
            let name = cidr.object_name(&domain);
            assert!(
                name.parse::<crate::PodName>().is_ok(),
                "{name} should be a name that Kubernetes accepts"
            );
            assert_eq!(BlockCidr::parse_object_name(&name), Ok((domain.clone(), cidr)));
        }
        for raw in [
            "default",
            "default.",
            ".10-1-7-16",
            "default.10.1.7.16",
            "default.10-1-7-17",
            "a.b.10-1-7-16",
            "default.fd00--a0",
        ] {
            assert!(BlockCidr::parse_object_name(raw).is_err(), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_where_its_block_and_offset_say(bits: u128, v4: bool) {
            let ip = if v4 { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) } else { IpAddr::V6(Ipv6Addr::from_bits(bits)) };
            prop_assert_eq!(BlockCidr::of(ip).address(BlockCidr::offset_of(ip)), ip);
        }

        #[test]
        fn no_text_makes_the_parser_panic(raw in "\\PC*") {
            let _ = raw.parse::<BlockCidr>();
            let _ = BlockCidr::parse_object_name(&raw);
            let _ = raw.parse::<Offset>();
        }
    }
}
