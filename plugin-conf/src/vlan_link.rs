//! `vlan`: one VLAN of a link as a link of the pod's own (PLG-VLAN-1 to -4).

use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, Mtu, fit, ipam};

#[derive(Clone, Debug)]
pub struct VlanConf {
    pub master: IfName,
    /// 0 is a VLAN too: frames with a priority and no VLAN.
    pub vlan_id: u16,
    /// The kernel's choice is the master's.
    pub mtu: Mtu,
    /// The master is looked up, and the link made, inside the container.
    pub link_in_container: bool,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &["master", "vlanId", "mtu", "linkInContainer"];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    #[serde(deserialize_with = "fit::empty_is_none")]
    master: Option<IfName>,
    vlan_id: Option<Tag>,
    mtu: Mtu,
    link_in_container: bool,
    dns: DnsConf,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
struct Tag(u16);

impl TryFrom<i64> for Tag {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        match u16::try_from(n) {
            Ok(id @ 0..=4094) => Ok(Self(id)),
            _ => Err(format!("{n} is not a VLAN id; use 0 to 4094")),
        }
    }
}

impl VlanConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let Written { master, vlan_id, mtu, link_in_container, dns } = fit::fit(config)?;
        ipam::ipam_type(config)?;
        let master = master.ok_or_else(|| {
            Problem::new("/master", "vlan needs a `master`, the link that carries the VLAN; name it")
        })?;
        let Tag(vlan_id) =
            vlan_id.ok_or_else(|| Problem::new("/vlanId", "vlan needs a `vlanId`; use 0 to 4094"))?;
        Ok(Self { master, vlan_id, mtu, link_in_container, dns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<VlanConf, Problem> {
        VlanConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-VLAN-1, PLG-VLAN-2, PLG-VLAN-3, PLG-VLAN-4
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read(r#"{"master":"eth0","vlanId":0}"#).unwrap();
        assert_eq!((conf.master.as_str(), conf.vlan_id, conf.mtu.get()), ("eth0", 0, None));
        assert!(!conf.link_in_container && !conf.dns.any_field);
        let conf = read(
            r#"{"master":"eth0","vlanId":4094,"mtu":1400,"linkInContainer":true,"dns":{"domain":"x"},"ipam":{"type":"static"}}"#,
        )
        .unwrap();
        assert_eq!((conf.vlan_id, conf.mtu.get()), (4094, Some(1400)));
        assert!(conf.link_in_container && conf.dns.any_field);
    }

    // Proves: PLG-VLAN-1, PLG-VLAN-2, PLG-VLAN-3
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"vlanId":5}"#, "/master", "needs a `master`");
        refused(r#"{"master":"","vlanId":5}"#, "/master", "needs a `master`");
        refused(r#"{"master":"eth0"}"#, "/vlanId", "needs a `vlanId`");
        refused(r#"{"master":"eth0","vlanId":-1}"#, "/vlanId", "-1 is not a VLAN id; use 0 to 4094");
        refused(r#"{"master":"eth0","vlanId":4095}"#, "/vlanId", "4095 is not a VLAN id");
        refused(r#"{"master":"eth0","vlanId":5,"mtu":-1}"#, "/mtu", "-1 is not an MTU");
        refused(
            r#"{"master":"eth0","vlanId":5,"linkInContainer":"yes"}"#,
            "/linkInContainer",
            "`true` or `false`",
        );
    }
}
