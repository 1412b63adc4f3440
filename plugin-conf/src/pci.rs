//! The address of a PCI device, `0000:03:00.1`: checked, as it becomes part of a path in sysfs.

use std::fmt;
use std::str::FromStr;

use manifold_cni::name::printable;
use serde::Deserialize;

/// In the form that the kernel writes: domain, bus, device, function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PciAddress(Box<str>);

/// Text that is no address of a PCI device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a PCI address; write one as `0000:03:00.1`", printable(.0))]
pub struct BadPciAddress(String);

impl PciAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PciAddress {
    type Err = BadPciAddress;

    fn from_str(raw: &str) -> Result<Self, BadPciAddress> {
        let lower = raw.to_ascii_lowercase();
        if is_address(&lower) { Ok(Self(lower.into())) } else { Err(BadPciAddress(raw.to_owned())) }
    }
}

/// Domains may have more than four digits: controllers of virtual machines do.
fn is_address(raw: &str) -> bool {
    let hex = |piece: &str, least: usize, most: usize| {
        (least..=most).contains(&piece.len()) && piece.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let mut pieces = raw.split([':', '.']);
    let [Some(domain), Some(bus), Some(device), Some(function), None] =
        [pieces.next(), pieces.next(), pieces.next(), pieces.next(), pieces.next()]
    else {
        return false;
    };
    hex(domain, 4, 8)
        && hex(bus, 2, 2)
        && hex(device, 2, 2)
        && function.len() == 1
        && function.bytes().all(|b| (b'0'..=b'7').contains(&b))
        && raw == format!("{domain}:{bus}:{device}.{function}")
}

impl TryFrom<String> for PciAddress {
    type Error = BadPciAddress;

    fn try_from(raw: String) -> Result<Self, BadPciAddress> {
        raw.parse()
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_form_is_an_address() {
        for good in ["0000:03:00.1", "0000:AF:1f.7", "10000:00:00.0"] {
            assert_eq!(good.parse::<PciAddress>().unwrap().as_str(), good.to_ascii_lowercase());
        }
        let odd = [
            "",
            "03:00.1",
            "0000:03:00.8",
            "0000:03:00",
            "0000.03:00:1",
            "../../x",
            "0000:03:00.1/..",
            "0000:3:0.1",
        ];
        for bad in odd {
            assert!(
                bad.parse::<PciAddress>().unwrap_err().to_string().contains("is not a PCI address"),
                "{bad}"
            );
        }
    }
}
