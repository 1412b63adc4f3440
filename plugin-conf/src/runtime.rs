//! What the runtime brings by capability (`runtimeConfig`), under the spellings that this crate reads.
//!
//! The plugins that runtimes are written against are in Go, whose JSON reader takes a key in any case. So a runtime whose
//! structures name no keys sends `HostPort` where the conventions say `hostPort`, as containerd does, and nobody sees
//! it. Every reader of this crate comes through [`config`], where each known key gets its own spelling; where both stand
//! there, the exact one counts. What a configuration itself says is matched exactly: a slip there is told.

use manifold_cni::RawObject;
use serde_json::value::{RawValue, to_raw_value};

use crate::problem::Problem;
use crate::{bandwidth, fit, ip_range, portmap};

/// The capabilities, and the keys of the objects that their values are, or are lists of.
const KNOWN: [(&str, &[&str]); 8] = [
    ("portMappings", portmap::MAPPING_KEYS),
    ("bandwidth", bandwidth::KEYS),
    ("ipRanges", ip_range::KEYS),
    ("dns", &["servers", "searches", "options"]),
    ("ips", &[]),
    ("mac", &[]),
    ("deviceID", &[]),
    ("infinibandGUID", &[]),
];

/// `runtimeConfig`; absent and `null` are an empty object.
pub fn config(config: &RawObject) -> Result<RawObject, Problem> {
    let names = KNOWN.map(|(name, _)| name);
    let mut runtime = respelt(&fit::object(config, "runtimeConfig")?, &names);
    for (name, keys) in KNOWN {
        if let Some(value) = runtime.get(name).and_then(|value| inside(value, keys)) {
            runtime.set_raw(name, value);
        }
    }
    Ok(runtime)
}

fn respelt(object: &RawObject, known: &[&str]) -> RawObject {
    let mut spelt = RawObject::default();
    for (key, value) in object.iter() {
        let name = known.iter().copied().find(|name| name.eq_ignore_ascii_case(key)).unwrap_or(key);
        if name == key || !object.contains(name) {
            spelt.set_raw(name, value.to_owned());
        }
    }
    spelt
}

/// The value with its objects respelt, in lists too. `None`: there are none, or the reader will say what is wrong.
fn inside(value: &RawValue, keys: &[&str]) -> Option<Box<RawValue>> {
    let text = value.get();
    if text.starts_with('{') {
        return to_raw_value(&respelt(&serde_json::from_str(text).ok()?, keys)).ok();
    }
    let items: Vec<Box<RawValue>> = text.starts_with('[').then(|| serde_json::from_str(text).ok())??;
    let items: Vec<Box<RawValue>> =
        items.into_iter().map(|item| inside(&item, keys).unwrap_or(item)).collect();
    to_raw_value(&items).ok()
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, Version};

    use super::*;
    use crate::host_local::HostLocalConf;
    use crate::mac::{self, Sources};
    use crate::{HostDeviceConf, SriovConf, StaticConf, TuningConf};

    fn object(raw: &str) -> RawObject {
        RawObject::parse(raw.as_bytes()).unwrap()
    }

    #[track_caller]
    fn spelt(runtime: &str, expected: &str) {
        let found = config(&object(&format!(r#"{{"runtimeConfig":{runtime}}}"#))).unwrap();
        assert_eq!(String::from_utf8(found.to_vec()).unwrap(), expected);
    }

    #[test]
    fn a_known_key_in_any_case_is_the_key_and_the_exact_one_wins() {
        spelt(r#"{"MAC":"x","IPS":["y"]}"#, r#"{"mac":"x","ips":["y"]}"#);
        spelt(r#"{"Mac":"x","mac":"y"}"#, r#"{"mac":"y"}"#);
        spelt(r#"{"mac":"y","Mac":"x"}"#, r#"{"mac":"y"}"#);
        spelt(
            r#"{"portMappings":[{"HostPort":1,"hostPort":2,"HOSTIP":"","Other":3}]}"#,
            r#"{"portMappings":[{"hostPort":2,"hostIP":"","Other":3}]}"#,
        );
        spelt(
            r#"{"DNS":{"Servers":["a"],"Searches":[],"Options":null}}"#,
            r#"{"dns":{"servers":["a"],"searches":[],"options":null}}"#,
        );
    }

    #[test]
    fn what_is_not_known_or_not_of_its_shape_stays_as_it_came() {
        for same in [
            "{}",
            r#"{"io.kubernetes.cri.pod-annotations":{"HostPort":"1"},"aliases":["A"],"CNIDeviceInfoFile":"/x"}"#,
            r#"{"portMappings":"x","bandwidth":[1,"2",null],"ipRanges":[["x"]],"mac":1e999}"#,
            r#"{"macs":"x","ma":"y"}"#,
        ] {
            spelt(same, same);
        }
        spelt("null", "{}");
        assert_eq!(config(&object(r#"{"runtimeConfig":[]}"#)).unwrap_err().pointer, "/runtimeConfig");
        // The key itself is libcni's, which writes it so.
        assert!(config(&object(r#"{"RuntimeConfig":{"mac":"x"}}"#)).unwrap().is_empty());
    }

    #[test]
    fn every_reader_takes_the_capitals_of_a_runtime() {
        let args = CniArgs::default();
        let raw = object(
            r#"{"ipam":{"type":"host-local"},"runtimeConfig":{"ipRanges":
                [[{"Subnet":"10.1.0.0/24","RangeStart":"10.1.0.5","RangeEnd":"10.1.0.9","Gateway":"10.1.0.1"}]],
                "IPs":["10.1.0.7"]}}"#,
        );
        let local = HostLocalConf::read(&raw, &args, Version::NEWEST).unwrap();
        let range = local.sets[0].ranges()[0];
        assert_eq!((range.start.to_string(), range.end.to_string()), ("10.1.0.5".into(), "10.1.0.9".into()));
        assert_eq!(local.requested, ["10.1.0.7".parse::<std::net::IpAddr>().unwrap()]);
        let raw = object(r#"{"ipam":{"type":"static"},"runtimeConfig":{"Ips":["10.1.0.7/24"]}}"#);
        assert_eq!(StaticConf::read(&raw, &args, Version::NEWEST).unwrap().addresses.len(), 1);
        let raw = object(r#"{"runtimeConfig":{"Mac":"02:00:00:00:00:04"}}"#);
        for sources in [Sources::WithArgsCni, Sources::WithConfigKey] {
            assert!(mac::requested(&raw, &args, sources).unwrap().is_some());
        }
        assert!(TuningConf::read(&raw, &args).unwrap().mac.is_some());
        let raw = object(r#"{"runtimeConfig":{"DeviceID":"0000:03:02.1"}}"#);
        assert!(HostDeviceConf::read(&raw).is_ok() && SriovConf::read(&raw).is_ok());
        let raw = object(
            r#"{"runtimeConfig":{"PortMappings":[{"HostPort":80,"ContainerPort":8080,"Protocol":"udp"}]}}"#,
        );
        assert_eq!(portmap::mappings(&raw).unwrap()[0].container_port, 8080);
    }
}
