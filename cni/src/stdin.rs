//! stdin → [`Input`]: the configuration of one call, checked as far as every plugin needs it.
//!
//! Order of the checks: JSON (code 6), name (7), version (1), `prevResult`. None of them has a side effect.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::name::printable;
use crate::version::UnknownVersion;
use crate::{CniError, CniResult, Input, NetworkName, RawObject, Version, code};

impl Input {
    /// Parses what a plugin finds on stdin.
    pub fn from_stdin(bytes: &[u8], path: Vec<PathBuf>, deadline: Instant) -> Result<Self, CniError> {
        let config = RawObject::parse(bytes)
            .map_err(|e| CniError::new(code::DECODE, format!("the network configuration on stdin: {e}")))?;
        let name = network_name(&config)?;
        let place = |e: CniError| e.context(&format!("network `{name}`"));
        let version = version(&config).map_err(place)?;
        let prev_result = match config.get("prevResult") {
            Some(raw) => CniResult::parse_prev(raw.get().as_bytes(), version).map_err(place)?,
            None => None,
        };
        Ok(Self { version, name, config, prev_result, path, deadline })
    }
}

/// The version an error about these bytes is printed in: theirs if it can be told, else the newest.
pub fn version_hint(bytes: &[u8]) -> Version {
    RawObject::parse(bytes).ok().and_then(|config| version(&config).ok()).unwrap_or(Version::NEWEST)
}

fn network_name(config: &RawObject) -> Result<NetworkName, CniError> {
    match config.get_as::<Value>("name") {
        Ok(None) => Err(CniError::config("the network configuration has no `name`; add one")),
        Ok(Some(Value::String(raw))) => raw.parse().map_err(|e| CniError::config(format!("`name`: {e}"))),
        _ => Err(CniError::config("`name` of the network configuration is not a string")),
    }
}

/// Absent and empty mean 0.1.0 (CNI-CFG-2).
fn version(config: &RawObject) -> Result<Version, CniError> {
    match config.get_as::<Value>("cniVersion") {
        Ok(None) => Ok(Version::V0_1_0),
        Ok(Some(Value::String(raw))) => {
            raw.parse().map_err(|UnknownVersion(raw)| incompatible(&raw, &Version::ALL))
        }
        _ => Err(CniError::new(code::DECODE, "`cniVersion` is not a string such as \"1.1.0\"")),
    }
}

/// The error that every runtime knows (CNI-VER-2).
pub(crate) fn incompatible(config: &str, supported: &[Version]) -> CniError {
    let supported: Vec<&str> = supported.iter().map(|v| v.as_str()).collect();
    CniError::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions").details(format!(
        "the configuration says `{}`, the plugin supports {}",
        printable(config),
        supported.join(", ")
    ))
}
