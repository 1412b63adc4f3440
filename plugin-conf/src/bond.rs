//! `bond`: several links of the pod as one (PLG-BOND-1 to -5).

use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, Mtu, fit, ipam};

#[derive(Clone, Debug)]
pub struct BondConf {
    pub mode: BondMode,
    /// Milliseconds between looks at the members' carrier.
    pub miimon: Option<u32>,
    pub links: Vec<IfName>,
    /// The members are in the container already, as other plugins attached them.
    pub links_in_container: bool,
    pub mtu: Mtu,
    pub fail_over_mac: Option<u8>,
    pub all_slaves_active: Option<bool>,
    pub tlb_dynamic_lb: Option<bool>,
    /// The kernel's number.
    pub xmit_hash_policy: Option<u8>,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &[
    "mode",
    "miimon",
    "links",
    "linksInContainer",
    "mtu",
    "failOverMac",
    "allSlavesActive",
    "tlbDynamicLb",
    "xmitHashPolicy",
];

/// Keys of an entry of `links`.
pub const LINK_KEYS: &[&str] = &["name"];

/// In the order of the kernel's numbers.
const MODES: [&str; 7] =
    ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
const POLICIES: [&str; 6] = ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"];
/// What IPv4 needs at least.
const LEAST_MTU: u32 = 68;

/// The kernel's number of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BondMode(u8);

impl BondMode {
    pub fn number(self) -> u8 {
        self.0
    }

    /// `balance-tlb` and `balance-alb` move flows between the members by load.
    fn balances_by_load(self) -> bool {
        matches!(self.0, 5 | 6)
    }
}

impl FromStr for BondMode {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        position(&MODES, raw).map(Self).ok_or_else(|| not_one_of("bond mode", raw, &MODES))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    #[serde(deserialize_with = "fit::empty_is_none")]
    mode: Option<BondMode>,
    miimon: Option<Milliseconds>,
    links: Vec<Member>,
    links_in_container: bool,
    mtu: Mtu,
    fail_over_mac: Option<u8>,
    all_slaves_active: Option<u8>,
    tlb_dynamic_lb: Option<u8>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    xmit_hash_policy: Option<Policy>,
    dns: DnsConf,
}

#[derive(Clone, Debug, Deserialize)]
struct Member {
    name: IfName,
}

/// A number, or a text that holds one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Milliseconds(Option<u32>);

impl TryFrom<serde_json::Value> for Milliseconds {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let number = match &value {
            serde_json::Value::String(raw) if raw.is_empty() => return Ok(Self(None)),
            serde_json::Value::String(raw) => raw.parse().ok(),
            other => other.as_u64(),
        };
        let fits = number.and_then(|n: u64| u32::try_from(n).ok()).filter(|n| i32::try_from(*n).is_ok());
        let why = || {
            format!("{} is not a number of milliseconds; use a whole number", printable(&value.to_string()))
        };
        fits.map(|n| Self(Some(n))).ok_or_else(why)
    }
}

#[derive(Clone, Copy, Debug)]
struct Policy(u8);

impl FromStr for Policy {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        position(&POLICIES, raw).map(Self).ok_or_else(|| not_one_of("hash policy", raw, &POLICIES))
    }
}

fn position(names: &[&str], raw: &str) -> Option<u8> {
    names.iter().position(|name| *name == raw).and_then(|n| u8::try_from(n).ok())
}

fn not_one_of(what: &str, raw: &str, names: &[&str]) -> String {
    format!("`{}` is not a {what}; use one of {}", printable(raw), names.join(", "))
}

impl BondConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let written: Written = fit::fit(config)?;
        if ipam::ipam_type(config)?.is_some_and(|kind| kind.as_str() == "bond") {
            return Err(Problem::new("/ipam/type", "bond gives no addresses; name an IPAM plugin"));
        }
        let mode = written.mode.ok_or_else(|| {
            Problem::new("/mode", format!("bond needs a `mode`; use one of {}", MODES.join(", ")))
        })?;
        if written.mtu.get().is_some_and(|mtu| mtu < LEAST_MTU) {
            return Err(Problem::new("/mtu", format!("`mtu` is below {LEAST_MTU}, so IPv4 cannot use it")));
        }
        if written.tlb_dynamic_lb.is_some() && !mode.balances_by_load() {
            let why = "`tlbDynamicLb` works with modes balance-tlb and balance-alb only; remove it";
            return Err(Problem::new("/tlbDynamicLb", why));
        }
        if written.fail_over_mac.is_some_and(|n| n > 2) {
            return Err(Problem::new("/failOverMac", "use 0 (none), 1 (active) or 2 (follow)"));
        }
        Ok(Self {
            mode,
            miimon: written.miimon.and_then(|Milliseconds(n)| n),
            links: members(written.links)?,
            links_in_container: written.links_in_container,
            mtu: written.mtu,
            fail_over_mac: written.fail_over_mac,
            all_slaves_active: switch("allSlavesActive", written.all_slaves_active)?,
            tlb_dynamic_lb: switch("tlbDynamicLb", written.tlb_dynamic_lb)?,
            xmit_hash_policy: written.xmit_hash_policy.map(|Policy(n)| n),
            dns: written.dns,
        })
    }
}

impl BondConf {
    /// For DEL: the members that can still be understood, and whether they are the container's own.
    pub fn members_leniently(config: &RawObject) -> (Vec<IfName>, bool) {
        let links: Vec<RawObject> = config.get_as("links").ok().flatten().unwrap_or_default();
        let names = links.iter().filter_map(|link| link.get_as("name").ok().flatten());
        (names.collect(), config.get_as("linksInContainer").ok().flatten().unwrap_or(false))
    }
}

fn members(links: Vec<Member>) -> Result<Vec<IfName>, Problem> {
    let names: Vec<IfName> = links.into_iter().map(|member| member.name).collect();
    if names.len() < 2 {
        return Err(Problem::new("/links", "a bond joins at least two links; name them in `links`"));
    }
    for (n, name) in names.iter().enumerate() {
        if names.iter().take(n).any(|before| before == name) {
            return Err(Problem::new(format!("/links/{n}"), format!("`{name}` is listed twice; remove one")));
        }
    }
    Ok(names)
}

fn switch(key: &str, written: Option<u8>) -> Result<Option<bool>, Problem> {
    match written {
        None => Ok(None),
        Some(0) => Ok(Some(false)),
        Some(1) => Ok(Some(true)),
        Some(n) => Err(Problem::new(format!("/{key}"), format!("`{key}` is {n}; use 0 or 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(further: &str) -> Result<BondConf, Problem> {
        let mut raw = r#"{"links":[{"name":"net1"},{"name":"net2"}],"mode":"active-backup"}"#.to_owned();
        if let Some(further) = further.strip_prefix(',') {
            let mut whole = RawObject::parse(raw.as_bytes()).unwrap();
            let further = RawObject::parse(format!("{{{further}}}").as_bytes()).unwrap();
            further.iter().for_each(|(key, value)| whole.set_raw(key, value.to_owned()));
            raw = String::from_utf8(whole.to_vec()).unwrap();
        }
        BondConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(further: &str, pointer: &str, part: &str) {
        let problem = read(further).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-BOND-1
    #[test]
    fn every_mode_has_its_number_and_miimon_is_a_number_or_a_text() {
        for (number, name) in MODES.iter().enumerate() {
            assert_eq!(usize::from(name.parse::<BondMode>().unwrap().number()), number);
        }
        for (raw, expected) in
            [("100", Some(100)), (r#""100""#, Some(100)), ("0", Some(0)), (r#""""#, None), ("null", None)]
        {
            assert_eq!(read(&format!(r#","miimon":{raw}"#)).unwrap().miimon, expected);
        }
        for bad in [r#""x""#, "-1", "1.5", "[]", "9999999999"] {
            refused(&format!(r#","miimon":{bad}"#), "/miimon", "milliseconds");
        }
        refused(r#","mode":"fastest""#, "/mode", "not a bond mode");
        refused(r#","mode":"1""#, "/mode", "not a bond mode");
        refused(r#","mode":"""#, "/mode", "needs a `mode`");
    }

    // Proves: PLG-BOND-2
    #[test]
    fn a_bond_has_two_different_members_or_more() {
        let conf = read(r#","linksInContainer":true"#).unwrap();
        assert_eq!(conf.links.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["net1", "net2"]);
        assert!(conf.links_in_container && !read("").unwrap().links_in_container);
        refused(r#","links":[{"name":"net1"}]"#, "/links", "at least two");
        refused(r#","links":[]"#, "/links", "at least two");
        refused(r#","links":[{"name":"net1"},{"name":"net1"}]"#, "/links/1", "twice");
        refused(r#","links":[{"name":"net1"},{}]"#, "/links", "name");
    }

    #[test]
    fn del_reads_the_members_of_a_configuration_that_add_would_refuse() {
        let odd = r#"{"mode":"fastest","linksInContainer":true,"links":[{"name":"net1"},{"name":7},{}]}"#;
        let (names, in_container) = BondConf::members_leniently(&RawObject::parse(odd.as_bytes()).unwrap());
        assert!(in_container && names.len() == 1 && names[0].as_str() == "net1");
        assert_eq!(BondConf::members_leniently(&RawObject::default()), (vec![], false));
    }

    // Proves: PLG-BOND-4, PLG-BOND-5
    #[test]
    fn every_option_has_its_range() {
        let conf = read(r#","failOverMac":1,"allSlavesActive":1,"xmitHashPolicy":"layer3+4""#).unwrap();
        assert_eq!(
            (conf.fail_over_mac, conf.all_slaves_active, conf.xmit_hash_policy),
            (Some(1), Some(true), Some(1))
        );
        let tlb = read(r#","mode":"balance-tlb","tlbDynamicLb":0"#).unwrap();
        assert_eq!((tlb.tlb_dynamic_lb, tlb.fail_over_mac, tlb.xmit_hash_policy), (Some(false), None, None));
        refused(r#","tlbDynamicLb":1"#, "/tlbDynamicLb", "balance-tlb");
        refused(r#","failOverMac":3"#, "/failOverMac", "0 (none)");
        refused(r#","allSlavesActive":2"#, "/allSlavesActive", "0 or 1");
        refused(r#","xmitHashPolicy":"layer9""#, "/xmitHashPolicy", "not a hash policy");
        refused(r#","mtu":67"#, "/mtu", "below 68");
        assert_eq!(read(r#","mtu":68"#).unwrap().mtu.get(), Some(68));
        refused(r#","ipam":{"type":"bond"}"#, "/ipam/type", "gives no addresses");
    }
}
