//! `dhcp`: asks the daemon, which gets and keeps the lease (PLG-DHCP). The daemon is `manifold dhcp daemon`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use manifold_cni::{Attachment, AttachmentId, CniArgs, CniError, CniResult, Detachment, Input, Plugin, code};
use manifold_dhcp::LeaseId;
use manifold_dhcp::message::Wishes;
use manifold_dhcp::rpc::{self, Answer, Ask, CallError, Request};
use manifold_plugin_conf::DhcpConf;

use crate::interface::ruleset::LAST_GRACE;

/// Subnet mask and routers are asked for unless the configuration says otherwise (PLG-DHCP-2).
const DEFAULTS: [u8; 2] = [3, 1];
/// What the answer needs on its way back: the daemon gives up before the plugin does, so that the reason is told.
const MARGIN: Duration = Duration::from_millis(250);
/// A daemon that serves answers at once.
const STATUS_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Default)]
pub struct Dhcp;

impl Plugin for Dhcp {
    fn name(&self) -> &'static str {
        "dhcp"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        lease(input, at, Request::Add)
    }

    /// Asks for the lease again, so that one that was lost comes back (PLG-DHCP-9).
    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let lease = lease(input, at, Request::Check)?;
        let result = input.require_prev_result()?;
        match lease.ips.iter().find(|ip| !result.ips.iter().any(|was| was.address == ip.address)) {
            None => Ok(()),
            Some(ip) => Err(CniError::check(format!(
                "network `{}`: the lease is `{}` now, which is not in `prevResult`; recreate the pod",
                input.name, ip.address
            ))),
        }
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let conf = read(input)?;
        let request = Request::Del { id: lease_id(input, at.container.as_str(), at.ifname.as_str()) };
        end(&conf, &request, input.deadline)
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        let conf = read(input)?;
        let deadline = input.deadline.min(Instant::now() + STATUS_WAIT);
        rpc::call(&conf.daemon_socket, &Request::Status, deadline)
            .map(drop)
            .map_err(|e| CniError { code: code::NOT_AVAILABLE, ..e.into() })
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let conf = read(input)?;
        let keep = keep.iter().map(|at| lease_id(input, &at.container, &at.ifname)).collect();
        let request = Request::Gc { network: input.name.to_string(), keep };
        end(&conf, &request, input.deadline)
    }
}

/// Ends leases. Where no daemon listens, nobody renews any: the server takes them back in time, and the next daemon
/// drops those of pods that are gone. So the pod need not wait for it.
fn end(conf: &DhcpConf, request: &Request, deadline: Instant) -> Result<(), CniError> {
    let deadline = deadline.max(Instant::now() + LAST_GRACE);
    match rpc::call(&conf.daemon_socket, request, deadline) {
        Err(nobody @ CallError::NobodyListens { .. }) => {
            tracing::warn!("leases end when they expire, and not now: {nobody}");
            Ok(())
        }
        answered => Ok(answered.map(drop)?),
    }
}

fn read(input: &Input) -> Result<DhcpConf, CniError> {
    DhcpConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn lease_id(input: &Input, container: &str, ifname: &str) -> LeaseId {
    LeaseId { container: container.to_string(), network: input.name.to_string(), ifname: ifname.to_string() }
}

fn lease(input: &Input, at: &Attachment, verb: fn(Ask) -> Request) -> Result<CniResult, CniError> {
    let conf = read(input)?;
    let wait = input.deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
    let ask = Ask {
        id: lease_id(input, at.container.as_str(), at.ifname.as_str()),
        netns: absolute(&at.netns)?,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        wishes: wishes(&conf, &at.args)?,
    };
    match rpc::call(&conf.daemon_socket, &verb(ask), input.deadline)? {
        Answer::Leased(result) => Ok(result),
        other => Err(CniError::failed(format!(
            "the DHCP daemon answered {other:?} where a lease was requested; is it another release?"
        ))),
    }
}

/// The daemon has another working directory.
fn absolute(netns: &std::path::Path) -> Result<PathBuf, CniError> {
    std::path::absolute(netns).map_err(|e| {
        CniError::new(code::INVALID_NETNS, format!("`{}` cannot be made absolute ({e})", netns.display()))
    })
}

fn wishes(conf: &DhcpConf, args: &CniArgs) -> Result<Wishes, CniError> {
    let defaults = DEFAULTS.into_iter().filter(|_| conf.asks_for_router_and_mask);
    let mut parameters: Vec<u8> = defaults.collect();
    for code in &conf.request {
        if !parameters.contains(code) {
            parameters.push(*code);
        }
    }
    let mut provide = Vec::new();
    for option in &conf.provide {
        // A key that CNI_ARGS lacks gives no option.
        let Some(bytes) = option.value.bytes(args) else { continue };
        if bytes.len() > usize::from(u8::MAX) {
            let msg = format!("DHCP option {} is longer than 255 bytes; shorten it in CNI_ARGS", option.code);
            return Err(CniError::new(code::INVALID_ENVIRONMENT, msg));
        }
        provide.push((option.code, bytes.to_vec()));
    }
    Ok(Wishes { parameters, provide, priority: conf.priority })
}
