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
                "`{}` is not a macvlan mode; use `bridge`, `private`, `vepa` or `passthru`",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<MacvlanConf, Problem> {
        MacvlanConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-MACVLAN-1, PLG-MACVLAN-2, PLG-MACVLAN-4
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read(r#"{"master":"","mode":"","mtu":0}"#).unwrap();
        assert_eq!((conf.master, conf.mode, conf.mtu.get()), (None, MacvlanMode::Bridge, None));
        assert_eq!((conf.mac, conf.link_in_container, conf.bcqueuelen), (None, false, 0));
        let conf =
            read(r#"{"master":"eth0","mtu":9000,"linkInContainer":true,"bcqueuelen":4294967295}"#).unwrap();
        assert_eq!((conf.master.unwrap().as_str(), conf.mtu.get()), ("eth0", Some(9000)));
        assert_eq!((conf.link_in_container, conf.bcqueuelen), (true, u32::MAX));
        for (name, mode) in [
            ("bridge", MacvlanMode::Bridge),
            ("private", MacvlanMode::Private),
            ("vepa", MacvlanMode::Vepa),
            ("passthru", MacvlanMode::Passthru),
        ] {
            assert_eq!(read(&format!(r#"{{"mode":"{name}"}}"#)).unwrap().mode, mode);
        }
    }

    // Proves: PLG-MACVLAN-1, PLG-MACVLAN-2, PLG-MACVLAN-4
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"mode":"l2"}"#, "/mode", "`l2` is not a macvlan mode");
        refused(r#"{"mode":"Bridge"}"#, "/mode", "is not a macvlan mode");
        refused(r#"{"mtu":-1}"#, "/mtu", "-1 is not an MTU");
        refused(r#"{"master":"eth0/1"}"#, "/master", "cannot be used");
        refused(r#"{"bcqueuelen":-1}"#, "/bcqueuelen", "bcqueuelen");
        refused(r#"{"bcqueuelen":4294967296}"#, "/bcqueuelen", "bcqueuelen");
    }
}
