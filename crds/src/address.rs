//! Addresses that users ask for: hardware addresses, InfiniBand GUIDs, IP addresses with or without a prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use manifold_cni::name::printable;
use serde::Serialize;

/// Why an address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {why}", printable(.raw))]
pub struct BadAddress {
    /// The text.
    pub raw: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BadAddress {
    fn new(raw: &str, why: &'static str) -> Self {
        Self { raw: raw.to_owned(), why }
    }
}

/// The 6-byte Ethernet address of one interface: not a group, not zero (NPWG-4.1.2.1.4-1, F-INP-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

/// The 8-byte GUID of an InfiniBand port (NPWG-4.1.2.1.10-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guid([u8; 8]);

impl Mac {
    /// In the order of the text.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl Guid {
    /// In the order of the text.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = BadAddress;

    fn from_str(raw: &str) -> Result<Self, BadAddress> {
        let bytes: [u8; 6] = octets(raw).ok_or_else(|| {
            BadAddress::new(raw, "is not a 6-byte Ethernet address like `02:23:45:67:89:01`")
        })?;
        match bytes {
            [0, 0, 0, 0, 0, 0] => Err(BadAddress::new(raw, "is zero, which no interface may have")),
            [first, ..] if first & 1 == 1 => {
                Err(BadAddress::new(raw, "is a multicast address; the first byte must be even"))
            }
            _ => Ok(Self(bytes)),
        }
    }
}

impl FromStr for Guid {
    type Err = BadAddress;

    fn from_str(raw: &str) -> Result<Self, BadAddress> {
        let bytes: [u8; 8] = octets(raw)
            .ok_or_else(|| BadAddress::new(raw, "is not an 8-byte GUID like `c2:11:22:33:44:55:66:77`"))?;
        if bytes == [0; 8] {
            Err(BadAddress::new(raw, "is zero, which no port may have"))
        } else {
            Ok(Self(bytes))
        }
    }
}

/// `N` bytes in hexadecimal: pairs joined by `:` or by `-`, or fours joined by `.`, as the reference client reads them.
fn octets<const N: usize>(raw: &str) -> Option<[u8; N]> {
    let (separator, digits) = if raw.contains(':') {
        (':', 2)
    } else if raw.contains('-') {
        ('-', 2)
    } else {
        ('.', 4)
    };
    let mut out = Vec::with_capacity(N);
    for group in raw.split(separator) {
        if group.len() != digits || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u16::from_str_radix(group, 16).ok()?;
        let [high, low] = value.to_be_bytes();
        if digits == 4 {
            out.push(high);
        }
        out.push(low);
    }
    out.try_into().ok()
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (n, byte) in bytes.iter().enumerate() {
        write!(f, "{}{byte:02x}", if n == 0 { "" } else { ":" })?;
    }
    Ok(())
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for Guid {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// An address asked for, with or without its prefix length. The text stays as it was written: delegates get it so
/// (NPWG-4.1.2.1.3-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpRequest {
    text: Box<str>,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length, if one was given.
    pub prefix_len: Option<u8>,
}

impl IpRequest {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for IpRequest {
    type Err = BadAddress;

    fn from_str(raw: &str) -> Result<Self, BadAddress> {
        const SHAPE: &str = "is not an IP address, with or without a prefix length";
        let (address, prefix_len) = match raw.split_once('/') {
            None => (raw, None),
            Some((address, prefix)) => {
                let plain =
                    !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
                let prefix = prefix.parse::<u8>().ok().filter(|_| plain);
                (address, Some(prefix.ok_or_else(|| BadAddress::new(raw, SHAPE))?))
            }
        };
        let address: IpAddr = address.parse().map_err(|_| BadAddress::new(raw, SHAPE))?;
        if prefix_len.is_some_and(|p| p > if address.is_ipv4() { 32 } else { 128 }) {
            return Err(BadAddress::new(raw, "has a prefix length that is longer than the address"));
        }
        match unusable(address) {
            Some(why) => Err(BadAddress::new(raw, why)),
            None => Ok(Self { text: raw.into(), address, prefix_len }),
        }
    }
}

impl fmt::Display for IpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for IpRequest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

/// A next hop: an address without a prefix that one host can have.
///
/// # Errors
/// If it is no address that a host can have.
pub fn gateway(raw: &str) -> Result<IpAddr, BadAddress> {
    let address: IpAddr =
        raw.parse().map_err(|_| BadAddress::new(raw, "is not an IP address without a prefix length"))?;
    unusable(address).map_or(Ok(address), |why| Err(BadAddress::new(raw, why)))
}

/// Why no interface of a pod can have this address.
fn unusable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("is the unspecified address");
    }
    if address.is_multicast() {
        return Some("is a multicast address");
    }
    if address.is_loopback() {
        return Some("is a loopback address");
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some("is the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address in IPv6 form; write it as IPv4")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn mac(raw: &str, expected: Option<&str>) {
        assert_eq!(raw.parse::<Mac>().ok().map(|m| m.to_string()).as_deref(), expected, "{raw:?}");
    }

    #[track_caller]
    fn ip(raw: &str, ok: bool) {
        assert_eq!(raw.parse::<IpRequest>().is_ok(), ok, "{raw:?}");
    }

    // Proves: NPWG-4.1.2.1.4-1, MLT-DEP-14, F-INP-4
    #[test]
    fn a_mac_has_six_bytes_and_belongs_to_one_interface() {
        mac("02:23:45:67:89:01", Some("02:23:45:67:89:01"));
        mac("C2-B0-57-49-47-F1", Some("c2:b0:57:49:47:f1"));
        mac("c2b0.5749.47f1", Some("c2:b0:57:49:47:f1"));
        for raw in [
            "",
            "x",
            "02:23:45:67:89",
            "02:23:45:67:89:01:02:03",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "02:23:45:67:89:0g",
            "2:23:45:67:89:01",
            "02:23-45:67:89:01",
            "+2:23:45:67:89:01",
            "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01",
            "02 23 45 67 89 01",
            "é2:23:45:67:89:01",
        ] {
            mac(raw, None);
        }
    }

    // Proves: NPWG-4.1.2.1.10-1, MLT-DEP-14
    #[test]
    fn a_guid_has_eight_bytes() {
        assert_eq!("C2:11:22:33:44:55:66:77".parse::<Guid>().unwrap().to_string(), "c2:11:22:33:44:55:66:77");
        for raw in ["c2:11:22:33:44:55", "c2:11:22:33:44:55:66:77:88", "00:00:00:00:00:00:00:00", ""] {
            assert!(raw.parse::<Guid>().is_err(), "{raw:?}");
        }
    }

    // Proves: NPWG-4.1.2.1.3-1, F-INP-4
    #[test]
    fn addresses_come_with_or_without_a_prefix() {
        for raw in ["10.1.2.3", "10.1.2.3/24", "fd00::1", "FD00::1/64", "10.0.0.1/0", "fe80::1"] {
            ip(raw, true);
        }
        for raw in [
            "",
            "x",
            "1.2.3.4/33",
            "fd00::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "1.2.3.4/ 8",
            "1.2.3.4/0008",
            "::",
            "0.0.0.0",
            "224.0.0.1",
            "127.0.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "255.255.255.255",
            "fe80::1%eth0",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4/24/8",
            "/24",
        ] {
            ip(raw, false);
        }
        assert_eq!("FD00::1/64".parse::<IpRequest>().unwrap().as_str(), "FD00::1/64");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(mac in any::<[u8; 5]>(), guid in any::<[u8; 7]>(), ip in any::<IpAddr>(), prefix in 0u8..=32) {
            let mac = Mac([2, mac[0], mac[1], mac[2], mac[3], mac[4]]);
            prop_assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
            let guid = Guid([1, guid[0], guid[1], guid[2], guid[3], guid[4], guid[5], guid[6]]);
            prop_assert_eq!(guid.to_string().parse::<Guid>().unwrap(), guid);
            if unusable(ip).is_none() {
                let text = format!("{ip}/{prefix}");
                let read: IpRequest = text.parse().unwrap();
                prop_assert_eq!((read.address, read.prefix_len, read.as_str()), (ip, Some(prefix), text.as_str()));
            }
        }

        // Proves: S-8
        #[test]
        fn parsing_never_panics(text in ".{0,40}", near in "[0-9a-fA-F:./-]{0,24}") {
            for text in [&text, &near] {
                let _ = (text.parse::<Mac>(), text.parse::<Guid>(), text.parse::<IpRequest>(), gateway(text));
            }
        }
    }
}
