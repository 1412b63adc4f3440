//! `sriov`: a virtual function of a network card for the pod alone (PLG-SRIOV-1 to -3).

use std::path::PathBuf;
use std::str::FromStr;

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use serde::Deserialize;

use crate::pci::PciAddress;
use crate::problem::{Note, Problem};
use crate::{DnsConf, fit, ipam, runtime};

#[derive(Clone, Debug)]
pub struct SriovConf {
    /// The virtual function.
    pub device: PciAddress,
    pub settings: VfSettings,
    pub dns: DnsConf,
}

/// What the physical function is to enforce; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VfSettings {
    /// 0 takes the VLAN away.
    pub vlan: Option<u16>,
    pub qos: u8,
    pub proto: VlanProto,
    pub spoof_check: Option<bool>,
    pub trust: Option<bool>,
    pub link_state: Option<VfLinkState>,
    /// Mbit/s; 0 is no limit.
    pub min_tx_rate: Option<u32>,
    pub max_tx_rate: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VlanProto {
    #[default]
    Dot1q,
    Dot1ad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfLinkState {
    Auto,
    Enable,
    Disable,
}

pub const KEYS: &[&str] = &[
    "deviceID",
    "vlan",
    "vlanQoS",
    "vlanProto",
    "mac",
    "spoofchk",
    "trust",
    "link_state",
    "min_tx_rate",
    "max_tx_rate",
    "logLevel",
    "logFile",
];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(rename = "deviceID", deserialize_with = "fit::empty_is_none")]
    device_id: Option<PciAddress>,
    vlan: Option<i64>,
    #[serde(rename = "vlanQoS")]
    vlan_qos: Option<i64>,
    #[serde(rename = "vlanProto", deserialize_with = "fit::empty_is_none")]
    vlan_proto: Option<VlanProto>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    spoofchk: Option<Switch>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    trust: Option<Switch>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    link_state: Option<VfLinkState>,
    min_tx_rate: Option<u32>,
    max_tx_rate: Option<u32>,
    #[serde(rename = "logLevel")]
    _log_level: Option<String>,
    #[serde(rename = "logFile")]
    _log_file: Option<PathBuf>,
    dns: DnsConf,
}

/// `on`; every other word is off, as it is for the plugin that this must be a drop-in for.
#[derive(Clone, Copy, Debug)]
struct Switch(bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        Ok(Self(raw == "on"))
    }
}

impl FromStr for VlanProto {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw.to_ascii_lowercase().as_str() {
            "802.1q" => Ok(Self::Dot1q),
            "802.1ad" => Ok(Self::Dot1ad),
            _ => Err(format!("`{}` is not a VLAN protocol; use `802.1q` or `802.1ad`", printable(raw))),
        }
    }
}

impl FromStr for VfLinkState {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "auto" => Ok(Self::Auto),
            "enable" => Ok(Self::Enable),
            "disable" => Ok(Self::Disable),
            _ => Err(format!("`{}` is not a link state; use `auto`, `enable` or `disable`", printable(raw))),
        }
    }
}

impl SriovConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let (device, settings, dns) = read(config)?;
        let device = device.ok_or_else(|| {
            let why =
                "no virtual function is given; request one as a resource of the pod, or give its `deviceID`";
            Problem::new("/deviceID", why)
        })?;
        Ok(Self { device, settings, dns })
    }
}

/// The rules that a definition can be held to: the device comes with the pod. The words that work but are odd.
pub(crate) fn notes(config: &RawObject) -> Result<Vec<Note>, Problem> {
    read(config)?;
    let mut notes = Vec::new();
    for key in ["spoofchk", "trust"] {
        let word: String = fit::key(config, key)?.unwrap_or_default();
        if !matches!(word.as_str(), "" | "on" | "off") {
            let sentence = format!("`{}` counts as `off`; use `on` or `off`", printable(&word));
            notes.push(Note { pointer: format!("/{key}"), sentence });
        }
    }
    for key in ["logLevel", "logFile"].into_iter().filter(|key| config.contains(key)) {
        let sentence = format!("`{key}` has no effect, as this plugin logs where Manifold does; remove it");
        notes.push(Note { pointer: format!("/{key}"), sentence });
    }
    Ok(notes)
}

fn read(config: &RawObject) -> Result<(Option<PciAddress>, VfSettings, DnsConf), Problem> {
    let written: Written = fit::fit(config)?;
    ipam::ipam_type(config)?;
    let runtime = runtime::config(config)?;
    let by_runtime: Option<String> = fit::key(&runtime, "deviceID").map_err(|p| p.under("/runtimeConfig"))?;
    let by_runtime = by_runtime.filter(|id| !id.is_empty()).map(|id| {
        id.parse::<PciAddress>().map_err(|e| Problem::new("/runtimeConfig/deviceID", e.to_string()))
    });
    let vlan = ranged("vlan", written.vlan, 4094)?;
    let qos = ranged("vlanQoS", written.vlan_qos, 7)?;
    let proto = written.vlan_proto.unwrap_or_default();
    tagged("vlanQoS", written.vlan_qos.is_some(), qos.unwrap_or(0) != 0, vlan)?;
    tagged("vlanProto", false, proto == VlanProto::Dot1ad, vlan)?;
    let settings = VfSettings {
        vlan,
        qos: qos.and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
        proto,
        spoof_check: written.spoofchk.map(|Switch(on)| on),
        trust: written.trust.map(|Switch(on)| on),
        link_state: written.link_state,
        min_tx_rate: written.min_tx_rate,
        max_tx_rate: written.max_tx_rate,
    };
    if let (Some(least), Some(most @ 1..)) = (settings.min_tx_rate, settings.max_tx_rate)
        && least > most
    {
        let why = format!("`min_tx_rate` {least} is above `max_tx_rate` {most}; swap them");
        return Err(Problem::new("/min_tx_rate", why));
    }
    Ok((by_runtime.transpose()?.or(written.device_id), settings, written.dns))
}

fn ranged(key: &str, written: Option<i64>, most: u16) -> Result<Option<u16>, Problem> {
    match written.map(|n| u16::try_from(n).ok().filter(|n| *n <= most).ok_or(n)).transpose() {
        Ok(value) => Ok(value),
        Err(n) => Err(Problem::new(format!("/{key}"), format!("`{key}` is {n}; use 0 to {most}"))),
    }
}

/// A setting of a tag needs the tag: `vlan` written, or even other than 0.
fn tagged(key: &str, needs_key: bool, needs_vlan: bool, vlan: Option<u16>) -> Result<(), Problem> {
    let ok = (!needs_key || vlan.is_some()) && (!needs_vlan || vlan.is_some_and(|vlan| vlan != 0));
    let why = || format!("`{key}` is about the tag of a VLAN; use a `vlan` other than 0, or remove it");
    if ok { Ok(()) } else { Err(Problem::new(format!("/{key}"), why())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(further: &str) -> Result<SriovConf, Problem> {
        let device = r#""deviceID":"0000:03:02.1""#;
        let raw = if further.contains(r#","deviceID""#) {
            format!("{{{}}}", further.trim_start_matches(','))
        } else {
            format!("{{{device}{further}}}")
        };
        SriovConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(further: &str, pointer: &str, part: &str) {
        let problem = read(further).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-SRIOV-3
    #[test]
    fn what_is_not_written_is_left_as_it_is() {
        let conf = read("").unwrap();
        assert_eq!((conf.device.as_str(), conf.settings), ("0000:03:02.1", VfSettings::default()));
        let by_runtime = read(r#","runtimeConfig":{"deviceID":"0000:03:02.2"}"#).unwrap();
        assert_eq!(by_runtime.device.as_str(), "0000:03:02.2");
        let none = SriovConf::read(&RawObject::default()).unwrap_err();
        assert!(none.pointer == "/deviceID" && none.sentence.contains("resource"), "{none}");
    }

    // Proves: PLG-SRIOV-2
    #[test]
    fn a_vlan_has_its_range_and_its_tag_needs_it() {
        let conf = read(r#","vlan":4094,"vlanQoS":7,"vlanProto":"802.1AD""#).unwrap().settings;
        assert_eq!((conf.vlan, conf.qos, conf.proto), (Some(4094), 7, VlanProto::Dot1ad));
        assert_eq!(read(r#","vlan":0,"vlanQoS":0"#).unwrap().settings.vlan, Some(0));
        assert_eq!(read(r#","vlanProto":"802.1Q""#).unwrap().settings.proto, VlanProto::Dot1q);
        for (further, key, part) in [
            (r#","vlan":-1"#, "/vlan", "use 0 to 4094"),
            (r#","vlan":4095"#, "/vlan", "use 0 to 4094"),
            (r#","vlan":5,"vlanQoS":8"#, "/vlanQoS", "use 0 to 7"),
            (r#","vlanQoS":0"#, "/vlanQoS", "the tag of a VLAN"),
            (r#","vlan":0,"vlanQoS":1"#, "/vlanQoS", "the tag of a VLAN"),
            (r#","vlan":0,"vlanProto":"802.1ad""#, "/vlanProto", "the tag of a VLAN"),
            (r#","vlanProto":"802.1ad""#, "/vlanProto", "the tag of a VLAN"),
            (r#","vlan":5,"vlanProto":"802.1x""#, "/vlanProto", "not a VLAN protocol"),
        ] {
            refused(further, key, part);
        }
    }

    // Proves: PLG-SRIOV-3
    #[test]
    fn every_other_setting_is_read_and_has_its_range() {
        let conf = read(
            r#","spoofchk":"on","trust":"off","link_state":"disable","min_tx_rate":0,"max_tx_rate":100"#,
        )
        .unwrap()
        .settings;
        assert_eq!((conf.spoof_check, conf.trust), (Some(true), Some(false)));
        assert_eq!((conf.min_tx_rate, conf.max_tx_rate), (Some(0), Some(100)));
        assert_eq!(conf.link_state, Some(VfLinkState::Disable));
        assert_eq!(read(r#","trust":"yes""#).unwrap().settings.trust, Some(false));
        refused(r#","link_state":"up""#, "/link_state", "not a link state");
        refused(r#","max_tx_rate":-1"#, "/max_tx_rate", "max_tx_rate");
        refused(r#","min_tx_rate":9,"max_tx_rate":8"#, "/min_tx_rate", "swap them");
        refused(r#","deviceID":"eth0""#, "/deviceID", "not a PCI address");
        assert!(read(r#","min_tx_rate":9,"max_tx_rate":0"#).is_ok());
    }
}
