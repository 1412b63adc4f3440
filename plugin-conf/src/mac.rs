//! A MAC address that a link can have, and which of several requested ones counts.

use std::fmt;
use std::str::FromStr;

use manifold_cni::name::printable;
use manifold_cni::{CniArgs, RawObject};
use serde::{Deserialize, Serialize};

use crate::fit;
use crate::problem::Problem;
use crate::runtime;

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
            _ if first & 1 == 1 => Err("it is a multicast address"),
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
    let by_runtime = text(&runtime::config(config)?, "/runtimeConfig")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Result<&str, &str>) {
        match (raw.parse::<Mac>().map(|mac| mac.to_string()).map_err(|e| e.to_string()), expected) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, expected) => panic!("{raw}: {got:?}, expected {expected:?}"),
        }
    }

    // Proves: F-INP-4
    #[test]
    fn a_mac_address_has_six_bytes_and_names_one_station() {
        check("c2:11:22:33:44:55", Ok("c2:11:22:33:44:55"));
        check("C2-11-22-33-44-FF", Ok("c2:11:22:33:44:ff"));
        check("c211.2233.4455", Ok("c2:11:22:33:44:55"));
        check("01:00:5e:00:00:01", Err("multicast address"));
        check("ff:ff:ff:ff:ff:ff", Err("multicast address"));
        check("00:00:00:00:00:00", Err("all zeros"));
        check("c2:11:22:33:44:55:66:77", Err("does not have six bytes"));
        check(&["02"; 20].join(":"), Err("does not have six bytes"));
        check("c2:11:22:33:44", Err("does not have six bytes"));
        for bad in [
            "",
            ":",
            "c2:1:22:33:44:55",
            "c2:11:22:33:44:5g",
            "+2:11:22:33:44:55",
            "c2-11:22:33:44:55",
            "c211",
        ] {
            check(bad, Err("cannot be a MAC address"));
        }
    }

    fn object(raw: &str) -> RawObject {
        RawObject::parse(raw.as_bytes()).unwrap()
    }

    fn asked(config: &str, args: &str, sources: Sources) -> Option<String> {
        requested(&object(config), &CniArgs::parse(args), sources).unwrap().map(|mac| mac.to_string())
    }

    const OWN: &str = r#""mac":"02:00:00:00:00:01""#;
    const ARGS: &str = r#""args":{"cni":{"mac":"02:00:00:00:00:03"}}"#;
    const RUNTIME: &str = r#""runtimeConfig":{"mac":"02:00:00:00:00:04"}"#;
    const ENV: &str = "IgnoreUnknown=1;MAC=02:00:00:00:00:02";

    // Proves: PLG-COM-24
    #[test]
    fn the_runtime_outranks_args_cni_which_outranks_cni_args() {
        let bridge = |config: &str, args: &str| asked(config, args, Sources::WithArgsCni);
        let all = format!("{{{OWN},{ARGS},{RUNTIME}}}");
        assert_eq!(bridge(&all, ENV).unwrap(), "02:00:00:00:00:04");
        assert_eq!(bridge(&format!("{{{OWN},{ARGS}}}"), ENV).unwrap(), "02:00:00:00:00:03");
        assert_eq!(bridge(&format!("{{{OWN}}}"), ENV).unwrap(), "02:00:00:00:00:02");
        assert_eq!(bridge(&format!("{{{OWN}}}"), ""), None);
        // An empty text asks for nothing.
        assert_eq!(bridge(r#"{"runtimeConfig":{"mac":""}}"#, ENV).unwrap(), "02:00:00:00:00:02");
        assert_eq!(bridge("{}", "MAC="), None);
    }

    // Proves: PLG-COM-24, PLG-MACVLAN-3
    #[test]
    fn macvlan_has_a_key_of_its_own_below_all_others_and_does_not_read_args_cni() {
        let macvlan = |config: &str, args: &str| asked(config, args, Sources::WithConfigKey);
        let all = format!("{{{OWN},{ARGS},{RUNTIME}}}");
        assert_eq!(macvlan(&all, ENV).unwrap(), "02:00:00:00:00:04");
        assert_eq!(macvlan(&format!("{{{OWN},{ARGS}}}"), ENV).unwrap(), "02:00:00:00:00:02");
        assert_eq!(macvlan(&format!("{{{OWN},{ARGS}}}"), "").unwrap(), "02:00:00:00:00:01");
        assert_eq!(macvlan(&format!("{{{ARGS}}}"), ""), None);
    }

    // Proves: PLG-MACVLAN-3, F-INP-4
    #[test]
    fn an_invalid_request_is_refused_with_its_place() {
        let refused = |config: &str, args: &str, sources| {
            requested(&object(config), &CniArgs::parse(args), sources).unwrap_err().to_string()
        };
        let by_runtime = refused(r#"{"runtimeConfig":{"mac":"x"}}"#, "", Sources::WithArgsCni);
        assert!(by_runtime.ends_with("at /runtimeConfig/mac"), "{by_runtime}");
        let by_args = refused(r#"{"args":{"cni":{"mac":7}}}"#, "", Sources::WithArgsCni);
        assert!(by_args.ends_with("at /args/cni/mac"), "{by_args}");
        let by_key = refused(r#"{"mac":"01:00:00:00:00:00"}"#, "", Sources::WithConfigKey);
        assert!(by_key.ends_with("at /mac"), "{by_key}");
        assert!(refused("{}", "MAC=zz", Sources::WithConfigKey).starts_with("CNI_ARGS: "));
        assert!(refused(r#"{"args":"x"}"#, "", Sources::WithArgsCni).ends_with("at /args"));
    }
}
