//! `static`: answers with the addresses that are written down. It remembers nothing, so there is nothing to release.

use manifold_cni::{Attachment, CniError, CniResult, Detachment, Input, IpConfig, Plugin};
use manifold_plugin_conf::StaticConf;
use manifold_plugin_conf::static_ipam::{CNI_ARGS, StaticAddress, refuse_gateways};

#[derive(Clone, Copy, Debug, Default)]
pub struct Static;

impl Plugin for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input, at)?;
        refuse_gateways(&input.config, &at.args).map_err(|p| p.into_error(&input.name))?;
        let ips = conf.addresses.iter().map(|a| IpConfig::new(a.address, a.gateway)).collect();
        Ok(CniResult { ips, routes: conf.routes, dns: conf.dns, ..CniResult::default() })
    }

    /// Each configured address is in `prevResult`, and a configured gateway stands beside it (PLG-STATIC-6).
    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let result = input.require_prev_result()?;
        let conf = read(input, at)?;
        conf.addresses.iter().try_for_each(|wanted| check_one(wanted, result, input))
    }

    fn del(&self, _input: &Input, _at: &Detachment) -> Result<(), CniError> {
        Ok(())
    }
}

fn read(input: &Input, at: &Attachment) -> Result<StaticConf, CniError> {
    at.args.require_known(CNI_ARGS)?;
    StaticConf::read(&input.config, &at.args, input.version).map_err(|p| p.into_error(&input.name))
}

fn check_one(wanted: &StaticAddress, result: &CniResult, input: &Input) -> Result<(), CniError> {
    let differs =
        |what: String| Err(CniError::check(format!("network `{}`: {what}; recreate the pod", input.name)));
    let ip = wanted.address.addr();
    let Some(found) = result.ips.iter().find(|found| found.address.addr() == ip) else {
        return differs(format!("the configured address `{}` is not in `prevResult`", wanted.address));
    };
    match wanted.gateway {
        Some(gateway) if found.gateway != Some(gateway) => differs(format!(
            "the gateway of `{}` in `prevResult` is not the configured `{gateway}`",
            wanted.address
        )),
        _ => Ok(()),
    }
}
