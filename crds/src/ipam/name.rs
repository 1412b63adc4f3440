//! Names of address management, each parsed once and then safe in a path, a URL and a label.

pub use manifold_cni::name::BadName;
use manifold_cni::name_type;

use crate::name::{label, subdomain};

name_type!(
    /// A space in which an address is given once: one DNS-1123 label. Networks on one wire share a domain.
    Domain, "address domain", |raw| label(raw, 63)
);

impl Default for Domain {
    fn default() -> Self {
        #[expect(clippy::unwrap_used, reason = "a constant that parses, as a test shows")]
        "default".parse().unwrap()
    }
}

name_type!(
    /// The name of an AddressPool: DNS-1123 labels joined by dots.
    PoolName, "pool name", subdomain
);

name_type!(
    /// A node's name: DNS-1123 labels joined by dots.
    NodeName, "node name", subdomain
);

name_type!(
    /// The UID of a Node object. It is the end of a label's key, so it has a label's letters and length.
    NodeUid, "node UID", label_end
);

name_type!(
    /// The random id of a node's folder of leases and holdings: 32 hexadecimal digits. A folder that was deleted and made
    /// again has another one.
    StoreId, "store id", |raw| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (raw.len() != 32 || !raw.bytes().all(hex)).then_some("it must have exactly 32 digits of 0-9 and a-f")
    }
);

fn label_end(raw: &str) -> Option<&'static str> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = raw.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Some("it is empty") };
    if raw.len() > 63 {
        return Some("it is longer than 63 characters");
    }
    if !raw.bytes().all(inner) {
        return Some("only letters, digits, `-`, `_` and `.` are allowed");
    }
    let ends = first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric();
    (!ends).then_some("it must begin and end with a letter or a digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: IPAM-75
    #[test]
    fn names_that_could_leave_a_folder_or_a_label_are_refused() {
        assert_eq!(Domain::default().as_str(), "default");
        for good in ["default", "wire-1", "0"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        let hostile =
            ["", ".", "..", "a.b", "a/b", "../x", "A", "a b", "a\0", "a\n", "é", "-a", "%2f", "a\u{202e}"];
        for bad in hostile {
            assert!(bad.parse::<Domain>().is_err(), "{bad:?}");
            assert!(bad.parse::<StoreId>().is_err(), "{bad:?}");
        }
        for bad in ["", "..", "a/b", "../x", "-a", "a\0", "é", &"x".repeat(64)] {
            assert!(bad.parse::<NodeUid>().is_err(), "{bad:?}");
        }
        for bad in ["", "..", "a/b", "../x", "A", "a\0", "a..b"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
            assert!(bad.parse::<PoolName>().is_err(), "{bad:?}");
        }
        assert!("0123456789abcdef0123456789abcdef".parse::<StoreId>().is_ok());
        assert!("0f1e2d3c-0000-4000-8000-0123456789ab".parse::<NodeUid>().is_ok());
    }
}
