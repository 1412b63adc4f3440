//! Reads and writes results of every protocol version; inside there is only the newest shape.
//!
//! Three families exist: `ip4`/`ip6` (0.1.0, 0.2.0), lists whose addresses name their `version` (0.3.0 to 0.4.0), and
//! today's. Inside a family nothing is lost, unknown keys included. Across families what the target cannot say is
//! dropped, and a result without any address has no 0.2.0 form at all: that is an error, not an empty answer.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::BadJson;
use crate::name::printable;
use crate::version::{Family, UnknownVersion};
use crate::{CniError, CniResult, Dns, IpConfig, Route, Version, code};

mod spelling;
#[cfg(test)]
mod tests;

pub use spelling::{DNS as DNS_KEYS, ROUTE as ROUTE_KEYS, route as respell_route};

/// Keys that the model owns. In `extra` they would stand twice in the output.
const OWN_KEYS: [&str; 7] = ["cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6"];

impl CniResult {
    /// Reads a result. Its own `cniVersion` counts; without one it is of version `fallback`, which is the
    /// configuration's (CNI-RUN-ADD-4). `null` and `{}` are the empty result.
    ///
    /// # Errors
    /// If the bytes are no result of a known version.
    pub fn parse(bytes: &[u8], fallback: Version) -> Result<(Self, Version), CniError> {
        crate::json::strict(bytes).map_err(not_a_result)?;
        let Some(mut keys) = serde_json::from_slice::<Option<Map<String, Value>>>(bytes)
            .map_err(|e| not_a_result(e.into()))?
        else {
            return Ok((Self::default(), fallback));
        };
        spelling::result(&mut keys);
        let version = version_of(keys.remove("cniVersion"), fallback)?;
        let result = match version.family() {
            Family::Ip4Ip6 => old_shape(keys)?,
            Family::Versioned | Family::Current => list_shape(keys)?,
        };
        Ok((result, version))
    }

    /// Reads the `prevResult` of a configuration of version `config`. Without a version of its own it has the
    /// configuration's; one of another family is refused (CNI-CONV-6).
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn parse_prev(bytes: &[u8], config: Version) -> Result<Option<Self>, CniError> {
        if bytes.trim_ascii() == b"null" {
            return Ok(None);
        }
        let (result, version) = Self::parse(bytes, config).map_err(|e| e.context("`prevResult`"))?;
        if version.family() == config.family() {
            return Ok(Some(result));
        }
        let msg = format!(
            "`prevResult` has CNI version `{version}`, which does not fit a configuration of version `{config}`"
        );
        Err(CniError::new(code::INCOMPATIBLE_VERSION, msg))
    }

    /// Writes the result in the shape of `version`, with that `cniVersion`.
    ///
    /// # Errors
    /// If the result cannot be said in that version.
    pub fn to_json(&self, version: Version) -> Result<Vec<u8>, CniError> {
        let mut keys = match version.family() {
            Family::Ip4Ip6 => self.write_old(version)?,
            Family::Versioned => self.write_versioned(),
            Family::Current => self.write_lists(),
        };
        keys.insert("cniVersion".into(), version.as_str().into());
        Ok(serde_json::to_vec(&keys).expect("a map with string keys always serialises"))
    }

    /// Whether [`CniResult::to_json`] can say this in `version`.
    pub fn fits(&self, version: Version) -> bool {
        version.family() != Family::Ip4Ip6 || !self.ips.is_empty()
    }

    fn write_lists(&self) -> Map<String, Value> {
        let plain = Self { extra: without_own(&self.extra), ..self.clone() };
        object(&plain)
    }

    /// 0.3.0 to 0.4.0: every address says its family, interfaces know neither MTU nor socket nor PCI address.
    fn write_versioned(&self) -> Map<String, Value> {
        let mut older = self.clone();
        for interface in &mut older.interfaces {
            interface.mtu = None;
            interface.socket_path.clear();
            interface.pci_id.clear();
        }
        for ip in &mut older.ips {
            let family = if matches!(ip.address, IpNet::V4(_)) { "4" } else { "6" };
            ip.extra.insert("version".into(), family.into());
        }
        older.write_lists()
    }

    /// 0.1.0 and 0.2.0: the first address of each family, and the routes of the families that have one.
    fn write_old(&self, version: Version) -> Result<Map<String, Value>, CniError> {
        let side = |v4: bool| {
            let ip = self.ips.iter().find(|ip| matches!(ip.address, IpNet::V4(_)) == v4)?;
            let routes = (self.routes.iter().filter(|r| matches!(r.dst, IpNet::V4(_)) == v4))
                .map(|r| OldRoute { dst: r.dst, gw: r.gw })
                .collect();
            Some(OldSide { ip: ip.address, gateway: ip.gateway, routes })
        };
        let old = Old { ip4: side(true), ip6: side(false), dns: self.dns.clone() };
        if old.ip4.is_none() && old.ip6.is_none() {
            let msg = format!("a result without an address has no form in CNI version `{version}`");
            return Err(CniError::new(code::INCOMPATIBLE_VERSION, msg)
                .details("fix: give the network an `ipam`, or raise `cniVersion` to 0.3.1 or later"));
        }
        let mut keys = without_own(&self.extra);
        keys.extend(object(&old));
        Ok(keys)
    }
}

/// The wire form of 0.1.0 and 0.2.0.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Old {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<OldSide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<OldSide>,
    #[serde(skip_serializing_if = "Dns::is_empty", deserialize_with = "crate::result::null_is_empty")]
    dns: Dns,
}

#[derive(Serialize, Deserialize)]
struct OldSide {
    ip: IpNet,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::result::empty_is_none"
    )]
    gateway: Option<IpAddr>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::result::null_is_empty"
    )]
    routes: Vec<OldRoute>,
}

#[derive(Serialize, Deserialize)]
struct OldRoute {
    dst: IpNet,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::result::empty_is_none"
    )]
    gw: Option<IpAddr>,
}

/// IPv4 first, then IPv6, addresses and routes alike (CNI-CONV-1).
fn old_shape(keys: Map<String, Value>) -> Result<CniResult, CniError> {
    let extra = without_own(&keys);
    let Old { ip4, ip6, dns } =
        serde_json::from_value(Value::Object(keys)).map_err(|e| not_a_result(e.into()))?;
    let mut result = CniResult { dns, extra, ..CniResult::default() };
    for side in [ip4, ip6].into_iter().flatten() {
        result.ips.push(IpConfig::new(side.ip, side.gateway));
        result.routes.extend(side.routes.into_iter().map(|r| Route::new(r.dst, r.gw)));
    }
    Ok(result)
}

fn list_shape(keys: Map<String, Value>) -> Result<CniResult, CniError> {
    let mut result: CniResult =
        serde_json::from_value(Value::Object(keys)).map_err(|e| not_a_result(e.into()))?;
    // The address itself tells its family; a written `version` that differs would be a lie.
    for ip in &mut result.ips {
        ip.extra.remove("version");
    }
    // `ip4` and `ip6` belong to another family; kept here, they would be lost when the result is written.
    result.extra = without_own(&result.extra);
    Ok(result)
}

fn version_of(raw: Option<Value>, fallback: Version) -> Result<Version, CniError> {
    match raw {
        None | Some(Value::Null) => Ok(fallback),
        Some(Value::String(s)) if s.is_empty() => Ok(fallback),
        Some(Value::String(s)) => {
            s.parse().map_err(|e: UnknownVersion| CniError::new(code::INCOMPATIBLE_VERSION, e.to_string()))
        }
        Some(other) => {
            let msg =
                format!("the result's `cniVersion` is `{}`, not a string", printable(&other.to_string()));
            Err(CniError::new(code::DECODE, msg))
        }
    }
}

fn without_own(keys: &Map<String, Value>) -> Map<String, Value> {
    keys.iter()
        .filter(|(k, _)| !OWN_KEYS.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(keys)) => keys,
        _ => unreachable!("results are structs whose keys are strings"),
    }
}

fn not_a_result(e: BadJson) -> CniError {
    CniError::new(code::DECODE, format!("this is not a CNI result: {e}"))
}
