//! `ptp`: a routed veth pair between pod and host (PLG-PTP-1).

use manifold_cni::RawObject;
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, MasqBackend, Mtu, fit, ipam};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PtpConf {
    pub ip_masq: bool,
    pub ip_masq_backend: MasqBackend,
    pub mtu: Mtu,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] = &["ipMasq", "ipMasqBackend", "mtu"];

impl PtpConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf = fit::fit(config)?;
        match ipam::ipam_type(config)? {
            Some(_) => Ok(conf),
            None => Err(Problem::new(
                "/ipam",
                "ptp routes by address, so it needs an `ipam` with a `type`; add one",
            )),
        }
    }

    /// For DEL: what can still be understood.
    pub fn read_leniently(config: &RawObject) -> Self {
        fit::fit_leniently(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<PtpConf, Problem> {
        PtpConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    // Proves: PLG-PTP-1
    #[test]
    fn every_key_is_read_and_ipam_is_required() {
        let conf =
            read(r#"{"ipMasq":true,"ipMasqBackend":"iptables","mtu":1300,"ipam":{"type":"x"}}"#).unwrap();
        assert!(
            conf.ip_masq && conf.ip_masq_backend == MasqBackend::Iptables && conf.mtu.get() == Some(1300)
        );
        let conf = read(r#"{"ipam":{"type":"x"}}"#).unwrap();
        assert!(!conf.ip_masq && conf.ip_masq_backend == MasqBackend::Auto && conf.mtu.get().is_none());
        for raw in ["{}", r#"{"ipam":{}}"#, r#"{"ipam":{"type":""}}"#] {
            assert_eq!(read(raw).unwrap_err().pointer, "/ipam");
        }
    }
}
