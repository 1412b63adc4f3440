//! `portmap`: ports of the host that lead to the pod (PLG-PORTMAP).
//!
//! Rules go to nftables; to iptables where the configuration asks for it, or where there is no `nft`. Both name the
//! network, the container and the interface, so that DEL needs neither the mappings nor an address, and two attachments
//! of one pod leave each other alone. What the reference made for a container is removed too.

mod flows;
mod iptables;
mod nftables;
mod taken;
mod wish;

use std::net::IpAddr;

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Plugin};
use manifold_net::nft::NftError;
use manifold_net::{Net, sysctl};
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::{PortmapBackend, mappings};

use self::wish::Wish;
use super::chained;
use crate::interface::failure::Told;
use crate::interface::masquerade::Key;
use crate::interface::ruleset::tool;
use crate::interface::teardown::Teardown;
use crate::interface::undo::{AfterStep, Undo};
use crate::sandboxes::Sandboxes;

const NAME: &str = "portmap";

#[derive(Clone, Copy, Debug)]
pub struct Portmap {
    pub after_step: AfterStep,
    /// Whose mappings are in the way of others.
    pub sandboxes: &'static dyn Sandboxes,
}

impl Plugin for Portmap {
    fn name(&self) -> &'static str {
        NAME
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let prev = chained::prev(input, NAME)?;
        let (conf, wishes) = read(input, at, prev)?;
        if wishes.is_empty() {
            return Ok(prev.clone());
        }
        let key = Key::of(input, at);
        let _lock = taken::lock(input.deadline)?;
        taken::refuse(&conf, &wishes, at, self.sandboxes, input.deadline)?;
        let mut undo = Undo::new(self.after_step);
        let done = apply(&mut undo, input, &conf, &key, &wishes);
        undo.settle(done)?;
        Ok(prev.clone())
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let prev = chained::prev(input, NAME)?;
        let (conf, wishes) = read(input, at, prev)?;
        if wishes.is_empty() {
            return Ok(());
        }
        let key = Key::of(input, at);
        // Which backend made them, the configuration does not say: another version may have been here at ADD.
        let by_nft = || nftables::check(&conf, &key, &wishes, input.deadline);
        let by_iptables = || iptables::check(&conf, &key, &wishes, input.deadline);
        match backend(&conf, input) {
            PortmapBackend::Iptables => by_iptables().or_else(|lacking| by_nft().map_err(|_| lacking)),
            PortmapBackend::Nftables => by_nft().or_else(|lacking| by_iptables().map_err(|_| lacking)),
        }
    }

    /// By what the rules say of themselves, in both backends: the configuration may have changed since ADD.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let (had_rules, removed) = remove(input, &Key::of_detachment(input, at));
        flows::forget_those_of_pod(input, at, had_rules);
        removed
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        teardown.part(nftables::collect(&input.name, keep, input.deadline).told());
        teardown.part(iptables::collect(&input.name, keep, input.deadline));
        teardown.finish()
    }
}

fn read(input: &Input, at: &Attachment, prev: &CniResult) -> Result<(PortmapConf, Vec<Wish>), CniError> {
    let told = |problem: manifold_plugin_conf::Problem| problem.into_error(&input.name);
    let conf = PortmapConf::read(&input.config).map_err(told)?;
    let mappings = mappings(&input.config).map_err(told)?;
    let addresses = chained::addresses(prev, at.ifname.as_str()).map(|ip| ip.address);
    let wishes = wish::of(addresses, &mappings);
    if wishes.is_empty()
        && !mappings.is_empty()
        && chained::addresses(prev, at.ifname.as_str()).next().is_none()
    {
        let text =
            format!("`prevResult` has no address of interface `{}`, to which ports could lead", at.ifname);
        return Err(CniError::config(text));
    }
    Ok((conf, wishes))
}

/// What the configuration asks for, else nftables where the host has it.
fn backend(conf: &PortmapConf, input: &Input) -> PortmapBackend {
    let by_host = || match tool(input.deadline) {
        Err(NftError::NotInstalled { .. }) => PortmapBackend::Iptables,
        _ => PortmapBackend::Nftables,
    };
    conf.backend().unwrap_or_else(by_host)
}

fn apply<'a>(
    undo: &mut Undo<'a>,
    input: &'a Input,
    conf: &PortmapConf,
    key: &Key<'a>,
    wishes: &[Wish],
) -> Result<(), CniError> {
    let (key_of_undo, wishes_of_undo) = (*key, wishes.to_vec());
    let take_back = move || {
        let (_, removed) = remove(input, &key_of_undo);
        wishes_of_undo.iter().for_each(flows::forget_those_to_ports);
        removed
    };
    match backend(conf, input) {
        PortmapBackend::Iptables => {
            // Two families are two calls, of which the second may fail.
            let made = iptables::set_up(conf, key, wishes, input.deadline);
            undo.done("rules", take_back)?;
            made?;
        }
        PortmapBackend::Nftables => {
            nftables::set_up(conf, key, wishes, input.deadline).told()?;
            undo.done("rules", take_back)?;
        }
    }
    for wish in wishes {
        if conf.snat {
            let_loopback_through(wish.address.addr())?;
        }
        flows::forget_those_to_ports(wish);
    }
    undo.passed("loopback")
}

/// Packets of the host's own from 127.0.0.1 may leave by the link that leads to the container (PLG-PORTMAP-8).
fn let_loopback_through(container: IpAddr) -> Result<(), CniError> {
    if container.is_ipv6() {
        return Ok(());
    }
    let host = Net::here().told()?;
    let by = host.route_to(container).told()?.and_then(|route| route.oif);
    let Some(link) = by.map_or(Ok(None), |index| host.link_by_index(index)).told()? else { return Ok(()) };
    sysctl::set(&["net", "ipv4", "conf", &link.name, "route_localnet"], "1").told()
}

/// Removes what is there in both backends; whether there was anything, and the outcome.
fn remove(input: &Input, key: &Key<'_>) -> (bool, Result<(), CniError>) {
    let mut teardown = Teardown::default();
    let nft = !matches!(tool(input.deadline), Err(NftError::NotInstalled { .. }));
    let mut had_rules = false;
    teardown.part(nftables::tear_down(key, input.deadline).told().map(|any| had_rules = any));
    let (iptables, had_chains) = iptables::tear_down(key, input.deadline, &mut teardown);
    if !nft && !iptables && !mappings(&input.config).unwrap_or_default().is_empty() {
        let text = "neither `nft` nor `iptables` works on this host, so mapped ports may still lead to the container";
        teardown.part(Err(CniError::failed(text).details("fix: install the one that ADD used")));
    }
    (had_rules || had_chains, teardown.finish())
}
