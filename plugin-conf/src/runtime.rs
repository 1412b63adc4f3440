//! What the runtime brings by capability (`runtimeConfig`).
//!
//! A runtime whose structures name no keys sends `HostPort` where the conventions say `hostPort`, as containerd does. It
//! works, because keys are read in any case.

use manifold_cni::RawObject;

use crate::fit;
use crate::problem::Problem;

/// `runtimeConfig`; absent and `null` are an empty object.
pub fn config(config: &RawObject) -> Result<RawObject, Problem> {
    fit::object(config, "runtimeConfig")
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, Version};

    use super::*;
    use crate::host_local::HostLocalConf;
    use crate::mac::{self, Sources};
    use crate::{HostDeviceConf, SriovConf, StaticConf, TuningConf, portmap};

    fn object(raw: &str) -> RawObject {
        RawObject::parse(raw.as_bytes()).unwrap()
    }

    // Proves: COMPAT-6
    #[test]
    fn a_known_key_in_any_case_is_the_key_and_the_exact_one_wins() {
        let mac = |runtime: &str| {
            let raw = object(&format!(r#"{{"RuntimeConfig":{runtime}}}"#));
            mac::requested(&raw, &CniArgs::default(), Sources::WithConfigKey).unwrap().map(|m| m.to_string())
        };
        let (first, second) = ("02:00:00:00:00:01", "02:00:00:00:00:02");
        assert_eq!(mac(&format!(r#"{{"MAC":"{first}"}}"#)).as_deref(), Some(first));
        assert_eq!(mac(&format!(r#"{{"Mac":"{first}","mac":"{second}"}}"#)).as_deref(), Some(second));
        assert_eq!(mac(&format!(r#"{{"mac":"{second}","Mac":"{first}"}}"#)).as_deref(), Some(second));
        assert_eq!(mac(&format!(r#"{{"macs":"{first}","ma":"{second}"}}"#)), None);
        let raw =
            object(r#"{"runtimeConfig":{"portMappings":[{"HostPort":1,"hostPort":2,"containerPort":3}]}}"#);
        assert_eq!(portmap::mappings(&raw).unwrap()[0].host_port, 2);
    }

    #[test]
    fn what_is_not_of_its_shape_is_refused_and_none_is_empty() {
        assert!(config(&object(r#"{"runtimeConfig":null}"#)).unwrap().is_empty());
        assert_eq!(config(&object(r#"{"runtimeConfig":[]}"#)).unwrap_err().pointer, "/runtimeConfig");
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
