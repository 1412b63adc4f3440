//! A MAC address that a link can have, and which of several requested ones counts.

use std::fmt;
use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_cni::{CniArgs, RawObject};
use serde::{Deserialize, Serialize};

use crate::fit;
use crate::problem::Problem;

/// Six bytes, of one station, not zero (F-INP-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

/// Text that is no MAC address of one station.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a MAC address: {why}; write one as `02:00:00:00:00:01`", printable(.raw))]
pub struct BadMac {
    raw: String,
    why: &'static str,
}

impl Mac {
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    fn parse(raw: &str) -> Result<Self, &'static str> {
        let bytes = hex_groups(raw).ok_or("it is not six bytes of two hexadecimal digits")?;
        let six: [u8; 6] = bytes.try_into().map_err(|_| "it does not have six bytes")?;
        let [first, ..] = six;
        match six {
            [0, 0, 0, 0, 0, 0] => Err("it is all zeros"),
            _ if first & 1 == 1 => Err("it is a group address, not one of a single station"),
            _ => Ok(Self(six)),
        }
    }
}

/// `02:…`, `02-…` and `0200.0000.0001`, the forms the reference reads.
fn hex_groups(raw: &str) -> Option<Vec<u8>> {
    let (separator, width) = match raw {
        _ if raw.contains(':') => (':', 2),
        _ if raw.contains('-') => ('-', 2),
        _ => ('.', 4),
    };
    let mut bytes = Vec::with_capacity(6);
    for group in raw.split(separator) {
        if group.len() != width || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u16::from_str_radix(group, 16).ok()?.to_be_bytes();
        bytes.extend(if width == 4 { &value[..] } else { &value[1..] });
    }
    Some(bytes)
}

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(raw: &str) -> Result<Self, BadMac> {
        Self::parse(raw).map_err(|why| BadMac { raw: raw.to_owned(), why })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which keys of the configuration a plugin takes a MAC address from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// CNI_ARGS, `args.cni`, `runtimeConfig` (bridge).
    WithArgsCni,
    /// `mac`, CNI_ARGS, `runtimeConfig` (macvlan, tap).
    WithConfigKey,
}

/// The MAC address asked for: config `mac` < CNI_ARGS `MAC` < `args.cni.mac` < `runtimeConfig.mac` (PLG-COM-24).
/// Only the one that counts is parsed; an empty text asks for nothing.
pub fn requested(config: &RawObject, args: &CniArgs, sources: Sources) -> Result<Option<Mac>, Problem> {
    let from_args = match sources {
        Sources::WithArgsCni => {
            let cni = fit::object(&fit::object(config, "args")?, "cni").map_err(|p| p.under("/args"))?;
            text(&cni, "/args/cni")?
        }
        Sources::WithConfigKey => None,
    };
    let own = if sources == Sources::WithConfigKey { text(config, "")? } else { None };
    let by_env = args.get("MAC").filter(|raw| !raw.is_empty()).map(|raw| (String::new(), raw.to_owned()));
    let by_runtime = text(&fit::object(config, "runtimeConfig")?, "/runtimeConfig")?;
    match by_runtime.or(from_args).or(by_env).or(own) {
        None => Ok(None),
        Some((pointer, raw)) => raw.parse().map(Some).map_err(|e: BadMac| {
            let source = if pointer.is_empty() { "CNI_ARGS: " } else { "" };
            Problem::new(pointer, format!("{source}{e}"))
        }),
    }
}

fn text(object: &RawObject, place: &str) -> Result<Option<(String, String)>, Problem> {
    let found: Option<String> = fit::key(object, "mac").map_err(|p| p.under(place))?;
    Ok(found.filter(|raw| !raw.is_empty()).map(|raw| (format!("{place}/mac"), raw)))
}
