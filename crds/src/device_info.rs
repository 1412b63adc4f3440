//! What a device plugin or a delegate tells about a device (device information specification 1.1.0).
//!
//! Keys that we do not know stay: the file is copied from one side to the other, and a newer minor version may say more.

use manifold_cni::json::any_case::respell_map;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The content of a device-info file, and of `device-info` in a status entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct DeviceInfo {
    /// MAJOR.MINOR.PATCH of the specification.
    pub version: SpecVersion,
    /// The part that depends on the type.
    pub device: Device,
    /// Keys that nobody here knows.
    pub extra: Map<String, Value>,
}

/// `type`, and the map of that name that must stand beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// A PCI device.
    Pci(Pci),
    /// A vDPA device.
    Vdpa(Vdpa),
    /// A vhost-user socket.
    VhostUser(VhostUser),
    /// A shared-memory interface.
    Memif(Memif),
}

impl Device {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Pci(_) => "pci",
            Self::Vdpa(_) => "vdpa",
            Self::VhostUser(_) => "vhost-user",
            Self::Memif(_) => "memif",
        }
    }

    fn take(kind: &str, keys: &mut Map<String, Value>) -> Result<Self, String> {
        match kind {
            "pci" => take(keys, kind).map(Self::Pci),
            "vdpa" => take(keys, kind).map(Self::Vdpa),
            "vhost-user" => take(keys, kind).map(Self::VhostUser),
            "memif" => take(keys, kind).map(Self::Memif),
            _ => Err("`type` is not one of `pci`, `vdpa`, `vhost-user` and `memif`".to_owned()),
        }
    }

    fn to_value(&self) -> Value {
        let value = match self {
            Self::Pci(inner) => serde_json::to_value(inner),
            Self::Vdpa(inner) => serde_json::to_value(inner),
            Self::VhostUser(inner) => serde_json::to_value(inner),
            Self::Memif(inner) => serde_json::to_value(inner),
        };
        value.expect("device descriptions have string keys only")
    }
}

const KEYS: [&str; 6] = ["type", "version", "pci", "vdpa", "vhost-user", "memif"];
/// The keys that a description must have, of all kinds; what is optional is passed on as it is written.
const DEVICE_KEYS: [&str; 6] = ["pci-address", "parent-device", "driver", "path", "mode", "role"];

/// The value under a key that must be there.
fn take<T: DeserializeOwned>(keys: &mut Map<String, Value>, key: &str) -> Result<T, String> {
    let value = keys.remove(key).ok_or_else(|| format!("`{key}` is missing"))?;
    serde_json::from_value(value).map_err(|e| format!("`{key}`: {e}"))
}

impl TryFrom<Map<String, Value>> for DeviceInfo {
    type Error = String;

    fn try_from(mut keys: Map<String, Value>) -> Result<Self, String> {
        respell_map(&mut keys, &KEYS);
        let kind: String = take(&mut keys, "type")?;
        if let Some(Value::Object(device)) = keys.get_mut(&kind) {
            respell_map(device, &DEVICE_KEYS);
        }
        let device = Device::take(&kind, &mut keys)?;
        Ok(Self { version: take(&mut keys, "version")?, device, extra: keys })
    }
}

impl From<DeviceInfo> for Map<String, Value> {
    fn from(info: DeviceInfo) -> Self {
        let mut keys = Self::new();
        keys.insert("type".into(), info.device.kind().into());
        keys.insert("version".into(), String::from(info.version).into());
        keys.insert(info.device.kind().into(), info.device.to_value());
        keys.extend(info.extra);
        keys
    }
}

/// A PCI device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pci {
    /// `dddd:BB:DD.f`.
    pub pci_address: PciAddress,
    /// The optional keys, as they were written.
    #[serde(flatten)]
    pub optional: Map<String, Value>,
}

/// A vDPA device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vdpa {
    /// The device below it.
    pub parent_device: String,
    /// What it is bound to.
    pub driver: VdpaDriver,
    /// Its file.
    pub path: String,
    /// The optional keys, as they were written.
    #[serde(flatten)]
    pub optional: Map<String, Value>,
}

/// What a vDPA device is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VdpaDriver {
    /// `vhost`
    Vhost,
    /// `virtio`
    Virtio,
}

/// A vhost-user socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VhostUser {
    /// Which end the container has.
    pub mode: SocketMode,
    /// Of the socket.
    pub path: String,
    /// The optional keys, as they were written.
    #[serde(flatten)]
    pub optional: Map<String, Value>,
}

/// Who makes the socket: as a client the host does, as a server the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketMode {
    /// `client`
    Client,
    /// `server`
    Server,
}

/// A shared-memory interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memif {
    /// Which end the container has.
    pub role: MemifRole,
    /// Of the socket.
    pub path: String,
    /// What the packets are.
    pub mode: MemifMode,
    /// The optional keys, as they were written.
    #[serde(flatten)]
    pub optional: Map<String, Value>,
}

/// Who makes the socket: the master is the container, the slave leaves it to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemifRole {
    /// `master`
    Master,
    /// `slave`
    Slave,
}

/// `inject-punt` in the text, `punt` in the reference client; both are read, the text's is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemifMode {
    /// `ethernet`
    Ethernet,
    /// `ip`
    Ip,
    /// `inject-punt`
    #[serde(alias = "punt")]
    InjectPunt,
}

/// Three numbers joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpecVersion(String);

impl TryFrom<String> for SpecVersion {
    type Error = &'static str;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        let number = |p: &str| !p.is_empty() && p.len() <= 9 && p.bytes().all(|b| b.is_ascii_digit());
        let good = raw.split('.').count() == 3 && raw.split('.').all(number);
        if good { Ok(Self(raw)) } else { Err("`version` is not MAJOR.MINOR.PATCH") }
    }
}

impl From<SpecVersion> for String {
    fn from(version: SpecVersion) -> Self {
        version.0
    }
}

/// A PCI address with its domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress(String);

impl TryFrom<String> for PciAddress {
    type Error = &'static str;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        let shape = "hhhh:hh:hh.h";
        let fits = |(c, s): (u8, u8)| if s == b'h' { c.is_ascii_hexdigit() } else { c == s };
        let good = raw.len() == shape.len() && raw.bytes().zip(shape.bytes()).all(fits);
        if good { Ok(Self(raw)) } else { Err("`pci-address` is not like `0000:03:02.1`") }
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> Self {
        address.0
    }
}

impl DeviceInfo {
    /// Reads a device-info file. At most what a status entry has room for.
    ///
    /// # Errors
    /// If the text is no device information.
    pub fn parse(bytes: &[u8]) -> Result<Self, manifold_cni::json::BadJson> {
        manifold_cni::json::strict(bytes)?;
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(text: &str) -> Value {
        let info = DeviceInfo::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
        let out = serde_json::to_value(&info).unwrap();
        let again: DeviceInfo = serde_json::from_value(out.clone()).unwrap();
        assert_eq!(again, info);
        // Text, not only a value: no key may stand there twice.
        assert_eq!(DeviceInfo::parse(&serde_json::to_vec(&info).unwrap()).unwrap(), info);
        out
    }

    #[track_caller]
    fn same(text: &str) {
        assert_eq!(reads(text), serde_json::from_str::<Value>(text).unwrap());
    }

    #[track_caller]
    fn refused(text: &str) {
        assert!(DeviceInfo::parse(text.as_bytes()).is_err(), "{text}");
    }

    // Proves: NPWG-DI-3.1.1, NPWG-DI-3.1.2
    #[test]
    fn type_and_version_are_required() {
        let pci = r#""pci":{"pci-address":"0000:03:02.1"}"#;
        refused(&format!(r#"{{"version":"1.1.0",{pci}}}"#));
        refused(&format!(r#"{{"type":"pci",{pci}}}"#));
        refused(&format!(r#"{{"type":"usb","version":"1.1.0",{pci}}}"#));
        for version in ["1.1", "1.1.0.0", "a.b.c", "", "1..0", "v1.1.0"] {
            refused(&format!(r#"{{"type":"pci","version":"{version}",{pci}}}"#));
        }
        same(&format!(r#"{{"type":"pci","version":"1.1.0",{pci}}}"#));
    }

    // Proves: NPWG-DI-3.1.3
    #[test]
    fn pci_needs_its_address() {
        same(
            r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:AF:02.1","vhost-net":"/dev/vhost-net",
            "rdma-device":"uverbs0","pf-pci-address":"0000:af:00.0","representor-device":"eth3"}}"#,
        );
        refused(r#"{"type":"pci","version":"1.1.0"}"#);
        refused(r#"{"type":"pci","version":"1.1.0","pci":{}}"#);
        for address in ["", "03:02.1", "0000:03:02", "../../../../x", "0000:03:02.1x"] {
            refused(&format!(r#"{{"type":"pci","version":"1.1.0","pci":{{"pci-address":"{address}"}}}}"#));
        }
    }

    // Proves: NPWG-DI-3.1.4
    #[test]
    fn vdpa_needs_parent_driver_and_path() {
        same(
            r#"{"type":"vdpa","version":"1.1.0","vdpa":{"parent-device":"vdpa0","driver":"vhost","path":"/dev/vhost-vdpa-0",
            "pci-address":"0000:03:02.1","pf-pci-address":"0000:03:00.0","representor-device":"eth0"}}"#,
        );
        refused(
            r#"{"type":"vdpa","version":"1.1.0","vdpa":{"parent-device":"a","driver":"other","path":"/x"}}"#,
        );
        refused(r#"{"type":"vdpa","version":"1.1.0","vdpa":{"driver":"vhost","path":"/x"}}"#);
        refused(r#"{"type":"vdpa","version":"1.1.0","vdpa":{"parent-device":"a","driver":"vhost"}}"#);
    }

    // Proves: NPWG-DI-3.1.5
    #[test]
    fn vhost_user_says_who_makes_the_socket() {
        same(
            r#"{"type":"vhost-user","version":"1.1.0","vhost-user":{"mode":"client","path":"/run/a.sock"}}"#,
        );
        same(
            r#"{"type":"vhost-user","version":"1.1.0","vhost-user":{"mode":"server","path":"/run/a.sock"}}"#,
        );
        refused(
            r#"{"type":"vhost-user","version":"1.1.0","vhost-user":{"mode":"both","path":"/run/a.sock"}}"#,
        );
        refused(r#"{"type":"vhost-user","version":"1.1.0","vhost-user":{"mode":"client"}}"#);
    }

    // Proves: NPWG-DI-3.1.6
    #[test]
    fn memif_is_read_in_both_spellings() {
        for (read, written) in
            [("ethernet", "ethernet"), ("ip", "ip"), ("inject-punt", "inject-punt"), ("punt", "inject-punt")]
        {
            let text = format!(
                r#"{{"type":"memif","version":"1.1.0","memif":{{"role":"master","path":"/run/m.sock","mode":"{read}"}}}}"#
            );
            assert_eq!(reads(&text).pointer("/memif/mode").unwrap(), written);
        }
        same(
            r#"{"type":"memif","version":"1.1.0","memif":{"role":"slave","path":"/run/m.sock","mode":"ip"}}"#,
        );
        refused(r#"{"type":"memif","version":"1.1.0","memif":{"role":"boss","path":"/x","mode":"ip"}}"#);
        refused(r#"{"type":"memif","version":"1.1.0","memif":{"role":"slave","path":"/x"}}"#);
    }

    #[test]
    fn unknown_keys_stay() {
        same(
            r#"{"type":"pci","version":"1.2.0","pci":{"pci-address":"0000:03:02.1","new":{"a":[1]}},"more":true}"#,
        );
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = DeviceInfo::parse(&bytes);
        }

        #[test]
        fn any_value_in_any_place_never_panics(value in "[\\[\\]{}\",:a-z0-9]{0,40}") {
            let _ = DeviceInfo::parse(format!(r#"{{"type":"pci","version":"1.1.0","pci":{value}}}"#).as_bytes());
        }
    }
}
