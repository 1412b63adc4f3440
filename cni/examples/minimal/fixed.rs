//! An IPAM plugin that gives out the addresses that its configuration lists.

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, IpConfig, Plugin, Version, code,
};
use serde::Deserialize;

/// `"ipam": {"type": "fixed", "addresses": ["10.0.0.2/24"], "error": 11}`; with `error` every verb but DEL fails.
pub(crate) struct Fixed;

#[derive(Deserialize)]
struct Conf {
    ipam: Ipam,
}

#[derive(Deserialize)]
struct Ipam {
    #[serde(default)]
    addresses: Vec<String>,
    error: Option<u32>,
}

impl Conf {
    fn of(input: &Input) -> Result<Ipam, CniError> {
        let ipam = input.parse::<Self>()?.ipam;
        match ipam.error {
            Some(code) => {
                Err(CniError::new(code, "the configuration says `error`").details("as it was asked to"))
            }
            None => Ok(ipam),
        }
    }
}

impl Plugin for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn versions(&self) -> &'static [Version] {
        &[Version::V0_4_0, Version::V1_0_0, Version::V1_1_0]
    }

    fn add(&self, input: &Input, _: &Attachment) -> Result<CniResult, CniError> {
        let ip = |raw: &String| {
            let address = raw.parse().map_err(|_| CniError::config(format!("`/ipam/addresses`: `{raw}`")))?;
            Ok(IpConfig::new(address, None))
        };
        let ips = Conf::of(input)?.addresses.iter().map(ip).collect::<Result<_, CniError>>()?;
        Ok(CniResult { ips, ..CniResult::default() })
    }

    fn check(&self, input: &Input, _: &Attachment) -> Result<(), CniError> {
        Conf::of(input)?;
        input.require_prev_result().map(drop)
    }

    /// Nothing is remembered, so nothing has to be forgotten.
    fn del(&self, _: &Input, _: &Detachment) -> Result<(), CniError> {
        Ok(())
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        Conf::of(input).map(drop)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        Conf::of(input)?;
        match keep {
            [] => Ok(()),
            _ => Err(CniError::new(code::FAILED, format!("{} live on", keep.len()))),
        }
    }
}
