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
