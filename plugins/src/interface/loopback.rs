//! `loopback`: the pod's `lo` is up (PLG-LO). It is always `lo`, whatever interface name the runtime gives.

use manifold_cni::{Attachment, CniError, CniResult, Detachment, Input, Interface, IpConfig, Plugin};
use manifold_net::{Address, Net};
use manifold_plugin_conf::LoopbackConf;

use super::failure::Told;
use super::sandbox;

const LO: &str = "lo";

#[derive(Clone, Copy, Debug)]
pub struct Loopback;

impl Plugin for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    /// `lo` has 127.0.0.1 as soon as it is up.
    fn answers_with_addresses(&self, _input: &Input) -> bool {
        true
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        LoopbackConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))?;
        let pod = sandbox::open(&at.netns)?;
        let index = index(&pod)?;
        pod.set_up(index).told()?;
        let addresses = pod.addresses(index).told()?;
        if let Some(foreign) = addresses.iter().find(|address| !address.ip.addr().is_loopback()) {
            let text = format!(
                "interface `lo` has address `{}`, which is not a loopback address; remove it",
                foreign.ip
            );
            return Err(CniError::failed(text));
        }
        Ok(input.prev_result.clone().unwrap_or_else(|| result(at, &addresses)))
    }

    fn check(&self, _input: &Input, at: &Attachment) -> Result<(), CniError> {
        let pod = sandbox::open(&at.netns)?;
        match pod.link(LO).told()? {
            Some(lo) if lo.up => Ok(()),
            _ => Err(CniError::check("interface `lo` is not up")),
        }
    }

    fn del(&self, _input: &Input, at: &Detachment) -> Result<(), CniError> {
        let Some(pod) = sandbox::find(at.netns.as_deref())? else { return Ok(()) };
        pod.set_down(index(&pod)?).told()
    }
}

fn index(pod: &Net) -> Result<u32, CniError> {
    let lo = pod.link(LO).told()?;
    lo.map(|lo| lo.index).ok_or_else(|| CniError::failed("the container has no interface `lo`"))
}

/// `lo`, with the first address of each family.
fn result(at: &Attachment, addresses: &[Address]) -> CniResult {
    let first = |v4: bool| addresses.iter().map(|address| address.ip).find(|ip| ip.addr().is_ipv4() == v4);
    let ips = [first(true), first(false)].into_iter().flatten();
    CniResult {
        interfaces: vec![Interface {
            name: LO.into(),
            mac: "00:00:00:00:00:00".into(),
            sandbox: at.netns.to_string_lossy().into_owned(),
            ..Interface::default()
        }],
        ips: ips.map(|ip| IpConfig { interface: Some(0), ..IpConfig::new(ip, None) }).collect(),
        ..CniResult::default()
    }
}
