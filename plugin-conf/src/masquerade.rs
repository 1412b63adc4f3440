//! Which firewall a plugin writes its masquerading rules with.

use std::str::FromStr;

use manifold_cni::name::printable;
use serde::Deserialize;

/// `ipMasqBackend` (PLG-COM-22).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MasqBackend {
    /// Not given: the plugin chooses by what the host has.
    #[default]
    Auto,
    Iptables,
    Nftables,
}

impl FromStr for MasqBackend {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "" => Ok(Self::Auto),
            "iptables" => Ok(Self::Iptables),
            "nftables" => Ok(Self::Nftables),
            _ => Err(format!(
                "`{}` is not a backend; use `iptables` or `nftables`, or leave it out",
                printable(raw)
            )),
        }
    }
}

impl<'de> Deserialize<'de> for MasqBackend {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        crate::fit::empty_is_default(d)
    }
}
