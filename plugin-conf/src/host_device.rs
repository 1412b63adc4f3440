//! `host-device`: a device of the host moves into the pod (PLG-HOSTDEV-1, -2).

use std::path::{Component, Path, PathBuf};

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::pci::PciAddress;
use crate::problem::{Note, Problem};
use crate::{DnsConf, Mac, fit, ipam, runtime};

/// Which device. The order of the variants is the order in which they outrank each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Name(IfName),
    Mac(Mac),
    /// Under `/sys/devices`.
    KernelPath(PathBuf),
    Pci(PciAddress),
    /// What the runtime gave as `deviceID`: a PCI address, or the name of an auxiliary device.
    DeviceId(String),
}

#[derive(Clone, Debug)]
pub struct HostDeviceConf {
    pub selector: Selector,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &["device", "hwaddr", "kernelpath", "pciBusID"];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(deserialize_with = "fit::empty_is_none")]
    device: Option<IfName>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    hwaddr: Option<Mac>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    kernelpath: Option<KernelPath>,
    #[serde(rename = "pciBusID", deserialize_with = "fit::empty_is_none")]
    pci_bus_id: Option<PciAddress>,
    dns: DnsConf,
}

#[derive(Clone, Debug)]
struct KernelPath(PathBuf);

impl std::str::FromStr for KernelPath {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        let path = Path::new(raw);
        let plain = path.components().all(|piece| matches!(piece, Component::RootDir | Component::Normal(_)));
        if plain && path.starts_with("/sys/devices") && path.components().count() > 3 {
            return Ok(Self(path.to_owned()));
        }
        Err(format!("`{}` is not a device; use an absolute path below `/sys/devices/`", printable(raw)))
    }
}

impl HostDeviceConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let (selector, dns) = read(config)?;
        let selector = selector.ok_or_else(|| {
            let why = "no device is chosen; set `device`, `hwaddr`, `kernelpath` or `pciBusID`";
            Problem::new("", why)
        })?;
        Ok(Self { selector, dns })
    }
}

/// The rules that a definition can be held to: its device may come with the pod.
pub(crate) fn notes(config: &RawObject) -> Result<Option<Note>, Problem> {
    let (selector, _) = read(config)?;
    Ok(selector.is_none().then(|| Note {
        pointer: "/device".into(),
        sentence: "no device is chosen, so every pod must be given one by a resource; otherwise set `device`, `hwaddr`, `kernelpath` or `pciBusID`"
            .into(),
    }))
}

fn read(config: &RawObject) -> Result<(Option<Selector>, DnsConf), Problem> {
    let Written { device, hwaddr, kernelpath, pci_bus_id, dns } = fit::fit(config)?;
    ipam::ipam_type(config)?;
    let runtime = runtime::config(config)?;
    let by_runtime: Option<String> = fit::key(&runtime, "deviceID").map_err(|p| p.under("/runtimeConfig"))?;
    let by_runtime = by_runtime.filter(|id| !id.is_empty()).map(device_id).transpose()?;
    let selector = device
        .map(Selector::Name)
        .or(hwaddr.map(Selector::Mac))
        .or(kernelpath.map(|KernelPath(path)| Selector::KernelPath(path)))
        .or(by_runtime)
        .or(pci_bus_id.map(Selector::Pci));
    Ok((selector, dns))
}

/// It becomes part of a path.
fn device_id(raw: String) -> Result<Selector, Problem> {
    let fine = raw.len() <= 255
        && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
        && !raw.starts_with('.');
    if fine {
        return Ok(Selector::DeviceId(raw));
    }
    let why = format!("`{}` is not a device; use a PCI address such as `0000:03:00.1`", printable(&raw));
    Err(Problem::new("/runtimeConfig/deviceID", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(raw: &str) -> RawObject {
        RawObject::parse(raw.as_bytes()).unwrap()
    }

    fn chosen(raw: &str) -> Selector {
        HostDeviceConf::read(&object(raw)).unwrap().selector
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = HostDeviceConf::read(&object(raw)).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    const KEYS_BY_RANK: [&str; 5] = [
        r#""device":"eth5""#,
        r#""hwaddr":"02:00:00:00:00:05""#,
        r#""kernelpath":"/sys/devices/pci0000:00/0000:00:03.0/net/eth5""#,
        r#""runtimeConfig":{"deviceID":"mlx5_core.sf.4"}"#,
        r#""pciBusID":"0000:00:03.0""#,
    ];

    // Proves: PLG-HOSTDEV-1
    #[test]
    fn the_first_selector_in_order_of_rank_counts() {
        let whole = |from: usize| format!("{{{}}}", KEYS_BY_RANK[from..].join(","));
        assert_eq!(chosen(&whole(0)), Selector::Name("eth5".parse().unwrap()));
        assert_eq!(chosen(&whole(1)), Selector::Mac("02:00:00:00:00:05".parse().unwrap()));
        assert!(matches!(chosen(&whole(2)), Selector::KernelPath(path) if path.ends_with("net/eth5")));
        assert_eq!(chosen(&whole(3)), Selector::DeviceId("mlx5_core.sf.4".into()));
        assert_eq!(chosen(&whole(4)), Selector::Pci("0000:00:03.0".parse().unwrap()));
        refused("{}", "", "no device is chosen");
        refused(r#"{"device":"","hwaddr":"","kernelpath":"","pciBusID":""}"#, "", "no device is chosen");
    }

    // Proves: PLG-HOSTDEV-1, PLG-HOSTDEV-2
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"kernelpath":"devices/x"}"#, "/kernelpath", "below `/sys/devices/`");
        refused(r#"{"kernelpath":"/sys/devices/../../etc/x"}"#, "/kernelpath", "below `/sys/devices/`");
        refused(r#"{"kernelpath":"/sys/devices"}"#, "/kernelpath", "below `/sys/devices/`");
        refused(r#"{"pciBusID":"3:0.1"}"#, "/pciBusID", "is not a PCI address");
        refused(r#"{"hwaddr":"zz"}"#, "/hwaddr", "cannot be a MAC address");
        refused(r#"{"device":"a/b"}"#, "/device", "cannot be used");
        refused(r#"{"runtimeConfig":{"deviceID":"../x"}}"#, "/runtimeConfig/deviceID", "is not a device");
    }
}
