//! `macvlan`: an own MAC address on a link of the host (PLG-MACVLAN-1 to -5).

use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, Mtu, fit, ipam};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MacvlanConf {
    /// `None`: the link of the default route.
    #[serde(deserialize_with = "fit::empty_is_none")]
    pub master: Option<IfName>,
    #[serde(deserialize_with = "fit::empty_is_default")]
    pub mode: MacvlanMode,
    pub mtu: Mtu,
    /// As written; [`crate::mac::requested`] weighs it against the other sources.
    pub mac: Option<String>,
    /// The master is looked up, and the link made, inside the container.
    pub link_in_container: bool,
    /// 0: the kernel's choice.
    pub bcqueuelen: u32,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
    Passthru,
}

impl FromStr for MacvlanMode {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "bridge" => Ok(Self::Bridge),
            "private" => Ok(Self::Private),
            "vepa" => Ok(Self::Vepa),
            "passthru" => Ok(Self::Passthru),
            _ => Err(format!(
                "`{}` is no macvlan mode; give `bridge`, `private`, `vepa` or `passthru`",
                printable(raw)
            )),
        }
    }
}

impl MacvlanConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf: Self = fit::fit(config)?;
        ipam::ipam_type(config)?;
        Ok(conf)
    }

    /// For DEL: what can still be understood.
    pub fn read_leniently(config: &RawObject) -> Self {
        fit::fit_leniently(config)
    }
}
