//! `ipvlan`: a link that shares its master's MAC address and differs by IP address (PLG-IPVLAN-1 to -5).

use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::{Note, Problem};
use crate::{DnsConf, Mtu, fit, ipam};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpvlanConf {
    /// `None`: in a chain, the one interface of `prevResult`; else the link of the default route.
    #[serde(deserialize_with = "fit::empty_is_none")]
    pub master: Option<IfName>,
    #[serde(deserialize_with = "fit::empty_is_default")]
    pub mode: IpvlanMode,
    /// An addition to the reference's keys.
    #[serde(deserialize_with = "fit::empty_is_default")]
    pub flag: IpvlanFlag,
    pub mtu: Mtu,
    /// The master is looked up, and the link made, inside the container.
    pub link_in_container: bool,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &["master", "mode", "flag", "mtu", "linkInContainer"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

/// How the links of one master see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanFlag {
    #[default]
    Bridge,
    Private,
    Vepa,
}

impl FromStr for IpvlanMode {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "l2" => Ok(Self::L2),
            "l3" => Ok(Self::L3),
            "l3s" => Ok(Self::L3s),
            _ => Err(format!("`{}` is not an ipvlan mode; use `l2`, `l3` or `l3s`", printable(raw))),
        }
    }
}

impl FromStr for IpvlanFlag {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "bridge" => Ok(Self::Bridge),
            "private" => Ok(Self::Private),
            "vepa" => Ok(Self::Vepa),
            _ => {
                Err(format!("`{}` is not an ipvlan flag; use `bridge`, `private` or `vepa`", printable(raw)))
            }
        }
    }
}

impl IpvlanConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf: Self = fit::fit(config)?;
        let by_dhcp = ipam::ipam_type(config)?.is_some_and(|kind| kind.as_str() == "dhcp");
        if by_dhcp && conf.mode != IpvlanMode::L2 {
            let why =
                "DHCP needs broadcasts, which only mode `l2` carries; use that mode, or another IPAM plugin";
            return Err(Problem::new("/mode", why));
        }
        Ok(conf)
    }
}

/// What a definition cannot know: whether a plugin before this one in the chain gives the addresses.
pub(crate) fn notes(has_ipam: bool) -> Option<Note> {
    (!has_ipam).then(|| Note {
        pointer: "/ipam".into(),
        sentence: "there is no `ipam` with a `type`, so this works only in a chain, with the addresses of the plugin \
                   before it; add one otherwise"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<IpvlanConf, Problem> {
        IpvlanConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-IPVLAN-2, PLG-IPVLAN-3
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read(r#"{"master":"","mode":"","flag":null}"#).unwrap();
        assert_eq!((conf.master, conf.mode, conf.flag), (None, IpvlanMode::L2, IpvlanFlag::Bridge));
        assert_eq!((conf.mtu.get(), conf.link_in_container), (None, false));
        let conf = read(r#"{"master":"eth0","mtu":1400,"linkInContainer":true,"flag":"vepa"}"#).unwrap();
        assert_eq!((conf.master.unwrap().as_str(), conf.mtu.get()), ("eth0", Some(1400)));
        assert!(conf.link_in_container && conf.flag == IpvlanFlag::Vepa);
        for (name, mode) in [("l2", IpvlanMode::L2), ("l3", IpvlanMode::L3), ("l3s", IpvlanMode::L3s)] {
            assert_eq!(read(&format!(r#"{{"mode":"{name}"}}"#)).unwrap().mode, mode);
        }
    }

    // Proves: PLG-IPVLAN-2
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"mode":"bridge"}"#, "/mode", "`bridge` is not an ipvlan mode");
        refused(r#"{"mode":"L2"}"#, "/mode", "is not an ipvlan mode");
        refused(r#"{"flag":"l2"}"#, "/flag", "is not an ipvlan flag");
        refused(r#"{"mtu":-1}"#, "/mtu", "-1 is not an MTU");
        refused(r#"{"master":"a/b"}"#, "/master", "cannot be used");
        refused(r#"{"mode":"l3","ipam":{"type":"dhcp"}}"#, "/mode", "only mode `l2`");
        assert!(read(r#"{"ipam":{"type":"dhcp"}}"#).is_ok());
    }
}
