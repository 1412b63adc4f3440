//! `firewall`: lets a pod's traffic through the host's firewall, and keeps networks apart (PLG-FW).
//!
//! What the host drops can only be let through where it is dropped: in iptables' FORWARD chain, or in firewalld's zones.
//! A host with neither has nftables alone. Rules say which attachment they are of, so DEL needs no address.

mod bus;
mod bus_address;
mod firewalld;
mod iptables;
mod isolation;
mod nftables;

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Plugin, Version};
use manifold_plugin_conf::FirewallConf;
use manifold_plugin_conf::firewall::{FirewallBackend, IngressPolicy};

use super::chained;
use crate::interface::failure::Told;
use crate::interface::masquerade::{Key, known_addresses};
use crate::interface::ruleset::tool;
use crate::interface::sandbox;
use crate::interface::teardown::Teardown;
use crate::interface::undo::{AfterStep, Undo};

const NAME: &str = "firewall";

#[derive(Clone, Copy, Debug)]
pub struct Firewall {
    pub after_step: AfterStep,
    /// The address of a D-Bus that is not the system's.
    pub bus: Option<&'static str>,
}

impl Plugin for Firewall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn versions(&self) -> &'static [Version] {
        &[Version::V0_4_0, Version::V1_0_0, Version::V1_1_0]
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let prev = chained::prev(input, NAME)?;
        let conf = read(input)?;
        let bridge = isolation::bridge(&conf, prev)?;
        let addresses = addresses(prev);
        let backend = self.backend(&conf, &addresses, input.deadline);
        let key = Key::of(input, at);
        let mut undo = Undo::new(self.after_step);
        let made = self.open(backend, &conf, &key, &addresses, input.deadline);
        // Two families are two calls, of which the second may fail.
        let made = undo
            .done("rules", || self.close(&conf, &key, &addresses, input.deadline))
            .and(made)
            .and_then(|()| isolation::set_up(&conf, bridge, &addresses, input.deadline));
        undo.settle(made)?;
        Ok(prev.clone())
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let prev = chained::prev(input, NAME)?;
        let conf = read(input)?;
        let (addresses, key) = (addresses(prev), Key::of(input, at));
        match self.backend(&conf, &addresses, input.deadline) {
            FirewallBackend::Firewalld => {
                firewalld::check(&self.bus(), &conf.firewalld_zone, &addresses, input.deadline)?;
            }
            // Older plugins know no such backend and used iptables.
            FirewallBackend::Nftables => {
                nftables::check(&key, &addresses, input.deadline).or_else(|lacking| {
                    iptables::check(&conf, &key, &addresses, input.deadline).map_err(|_| lacking)
                })?;
            }
            FirewallBackend::Iptables => iptables::check(&conf, &key, &addresses, input.deadline)?,
        }
        isolation::check(&conf, isolation::bridge(&conf, prev)?, &addresses, input.deadline)
    }

    /// What keeps networks apart stays: other pods of the bridge rely on it.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let addresses = known(input, at);
        let Ok(conf) = read(input).or_else(|_| FirewallConf::read(&Default::default())) else {
            return Ok(());
        };
        self.close(&conf, &Key::of_detachment(input, at), &addresses, input.deadline)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        teardown.part(nftables::collect(&input.name, keep, input.deadline).told());
        teardown.part(iptables::collect(&input.name, keep, input.deadline));
        teardown.finish()
    }
}

impl Firewall {
    fn bus(&self) -> String {
        self.bus.map_or_else(bus_address::of_system, str::to_owned)
    }

    /// What is asked for, else what the host has: firewalld, iptables for every family that is needed, nftables.
    fn backend(&self, conf: &FirewallConf, addresses: &[IpNet], deadline: Instant) -> FirewallBackend {
        let by_host = || {
            // The policies are iptables' rules, and those of addresses belong beside them.
            if conf.ingress == IngressPolicy::Open && firewalld::is_there(&self.bus(), deadline) {
                FirewallBackend::Firewalld
            } else if iptables::is_there(addresses, deadline) || tool(deadline).is_err() {
                FirewallBackend::Iptables
            } else {
                FirewallBackend::Nftables
            }
        };
        conf.backend.unwrap_or_else(by_host)
    }

    fn open(
        &self,
        backend: FirewallBackend,
        conf: &FirewallConf,
        key: &Key<'_>,
        addresses: &[IpNet],
        deadline: Instant,
    ) -> Result<(), CniError> {
        match backend {
            FirewallBackend::Firewalld => {
                firewalld::add(&self.bus(), &conf.firewalld_zone, addresses, deadline)
            }
            FirewallBackend::Iptables => iptables::set_up(conf, key, addresses, deadline),
            FirewallBackend::Nftables => nftables::set_up(key, addresses, deadline).told(),
        }
    }

    /// In every backend that the host has: the configuration may have changed since ADD.
    fn close(
        &self,
        conf: &FirewallConf,
        key: &Key<'_>,
        addresses: &[IpNet],
        deadline: Instant,
    ) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        if conf.backend.is_none_or(|backend| backend == FirewallBackend::Firewalld) {
            teardown.part(firewalld::remove(&self.bus(), &conf.firewalld_zone, addresses, deadline));
        }
        teardown.part(nftables::tear_down(key, deadline).told());
        teardown.part(iptables::tear_down(key, addresses, deadline));
        teardown.finish()
    }
}

fn read(input: &Input) -> Result<FirewallConf, CniError> {
    FirewallConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

/// The attachment's addresses, where ADD did not come to a result those of its link: firewalld may have been told of
/// them, and keeps nothing by which else they could be found.
fn known(input: &Input, at: &Detachment) -> Vec<IpNet> {
    let look = || sandbox::find(at.netns.as_deref()).ok().flatten();
    let pod = if input.prev_result.is_none() { look() } else { None };
    let known = known_addresses(input, at, pod.as_ref()).unwrap_or_default();
    known.into_iter().map(|ip| ip.addr().into()).collect()
}

/// Each address of the result alone.
fn addresses(prev: &CniResult) -> Vec<IpNet> {
    prev.ips.iter().map(chained::alone).collect()
}
