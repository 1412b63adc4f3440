//! A hardware address of six bytes: reading, writing, and making one up.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mac(pub [u8; 6]);

/// The text is not a hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address; write six pairs of hexadecimal digits, such as `02:42:ac:11:00:02`")]
pub struct BadMac(pub String);

impl Mac {
    /// True for group addresses, broadcast included; no interface may own one.
    pub fn is_multicast(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 1
    }

    /// Whether it stands for no address.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }

    /// An address of the locally administered kind that nobody can predict.
    pub fn random() -> Self {
        Self::local_unicast(random_u64())
    }

    /// An address of the locally administered kind that is always the same for the same seed.
    pub fn derived(seed: &[u8]) -> Self {
        // FNV-1a, written out because its value must not change with the toolchain.
        let hash = seed
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
        Self::local_unicast(hash ^ (hash >> 32))
    }

    fn local_unicast(bits: u64) -> Self {
        let [a, b, c, d, e, f, ..] = bits.to_le_bytes();
        Self([(a & 0xfe) | 0x02, b, c, d, e, f])
    }

    /// The six bytes of a link's address; `None` for links whose addresses have another length.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// 64 bits from the process's random hashing keys, which the kernel's generator seeds.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(raw: &str) -> Result<Self, BadMac> {
        parse(raw).ok_or_else(|| BadMac(raw.to_owned()))
    }
}

/// Pairs separated by `:` or `-`, or groups of four separated by `.`.
fn parse(raw: &str) -> Option<Mac> {
    let (separator, width) = match raw.as_bytes().get(2)? {
        b':' => (':', 2),
        b'-' => ('-', 2),
        _ => ('.', 4),
    };
    let mut digits = String::with_capacity(12);
    for group in raw.split(separator) {
        if group.len() != width || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        digits.push_str(group);
    }
    if digits.len() != 12 {
        return None;
    }
    let [.., a, b, c, d, e, f] = u64::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    Some(Mac([a, b, c, d, e, f]))
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(raw: &str, expected: [u8; 6]) {
        assert_eq!(raw.parse(), Ok(Mac(expected)));
    }

    #[test]
    fn colons_hyphens_and_dotted_quads_are_read() {
        reads("02:42:ac:11:00:02", [2, 0x42, 0xac, 0x11, 0, 2]);
        reads("02-42-AC-11-00-02", [2, 0x42, 0xac, 0x11, 0, 2]);
        reads("0242.ac11.0002", [2, 0x42, 0xac, 0x11, 0, 2]);
    }

    #[test]
    fn other_text_is_refused() {
        for raw in
            ["", "02", "02:42", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "02:42:ac:11:00:0g", "0:0:0:0:0:0"]
        {
            assert_eq!(raw.parse::<Mac>(), Err(BadMac(raw.into())));
        }
        for raw in
            ["02:42-ac:11:00:02", "0242ac110002", "+2:42:ac:11:00:02", "é:é:é:é:é:é", "02:42:ac:11:00:02:"]
        {
            assert_eq!(raw.parse::<Mac>(), Err(BadMac(raw.into())));
        }
    }

    #[test]
    fn text_round_trips_in_lower_case() {
        assert_eq!("02:42:AC:11:00:02".parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
    }

    #[test]
    fn made_up_addresses_are_local_unicast() {
        for mac in [Mac::random(), Mac::random(), Mac::derived(b""), Mac::derived(b"shop/cart-7")] {
            assert!(!mac.is_multicast() && !mac.is_zero() && mac.0[0] & 2 == 2, "{mac}");
        }
        assert_ne!(Mac::random(), Mac::random());
        assert_eq!(Mac::derived(b"a"), Mac::derived(b"a"));
        assert_ne!(Mac::derived(b"a"), Mac::derived(b"b"));
    }

    #[test]
    fn broadcast_is_multicast() {
        assert!(Mac([0xff; 6]).is_multicast());
        assert!(!Mac([2, 0, 0, 0, 0, 1]).is_multicast());
    }
}
