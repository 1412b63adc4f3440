//! `sbr`: what leaves from an interface's address leaves by that interface (PLG-SBR-1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use serde::Deserialize;

use crate::fit;
use crate::problem::Problem;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SbrConf {
    /// A table that somebody else fills; `None`: one of our own for each address.
    pub table: Option<TableId>,
    pub gateways: Gateways,
    pub add_source_hints: bool,
}

pub const KEYS: &[&str] = &["table", "gateways", "addSourceHints"];

/// The number of a routing table that a rule can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "i64")]
pub struct TableId(u32);

impl TableId {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for TableId {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        match u32::try_from(n) {
            Ok(0) | Err(_) => Err(format!("{n} is not a routing table; use 1 to 4294967295")),
            Ok(n) => Ok(Self(n)),
        }
    }
}

/// At most one for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Gateways {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl TryFrom<Vec<String>> for Gateways {
    type Error = String;

    fn try_from(all: Vec<String>) -> Result<Self, String> {
        let mut gateways = Self::default();
        for raw in &all {
            let shown = printable(raw);
            let ip = raw.parse().map_err(|_| format!("`{shown}` is not an IP address of a gateway"))?;
            let taken = match ip {
                IpAddr::V4(ip) => gateways.v4.replace(ip).is_some(),
                IpAddr::V6(ip) => gateways.v6.replace(ip).is_some(),
            };
            if taken {
                return Err(format!(
                    "`{shown}` is a second gateway of its family; use one for IPv4 and one for IPv6"
                ));
            }
        }
        Ok(gateways)
    }
}

impl Gateways {
    /// The one of the same family as this address.
    pub fn of(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(_) => self.v4.map(IpAddr::from),
            IpAddr::V6(_) => self.v6.map(IpAddr::from),
        }
    }
}

impl SbrConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        fit::fit(config)
    }

    /// For DEL: what can still be understood.
    pub fn read_leniently(config: &RawObject) -> Self {
        fit::fit_leniently(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<SbrConf, Problem> {
        SbrConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    // Proves: PLG-SBR-1
    #[test]
    fn a_table_and_one_gateway_for_each_family_may_be_given() {
        assert_eq!(read(r#"{"table":null,"gateways":null}"#).unwrap(), SbrConf::default());
        let conf = read(r#"{"table":100,"gateways":["fd00::1","10.0.0.1"],"addSourceHints":true}"#).unwrap();
        assert_eq!(conf.table.unwrap().get(), 100);
        assert!(conf.add_source_hints);
        let of = |ip: &str| conf.gateways.of(ip.parse().unwrap()).unwrap().to_string();
        assert_eq!((of("10.9.9.9"), of("fd99::9")), ("10.0.0.1".into(), "fd00::1".into()));
        for (raw, pointer) in [
            (r#"{"gateways":["10.0.0.1","10.0.0.2"]}"#, "/gateways"),
            (r#"{"gateways":["10.0.0.1","fd00::1","fd00::2"]}"#, "/gateways"),
            (r#"{"gateways":["router"]}"#, "/gateways"),
            (r#"{"gateways":[""]}"#, "/gateways"),
            (r#"{"table":0}"#, "/table"),
            (r#"{"table":-5}"#, "/table"),
            (r#"{"table":4294967296}"#, "/table"),
            (r#"{"addSourceHints":"yes"}"#, "/addSourceHints"),
        ] {
            assert_eq!(read(raw).unwrap_err().pointer, pointer, "{raw}");
        }
    }
}
