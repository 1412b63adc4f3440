//! `portmap`: ports of the host that lead to the pod (PLG-PORTMAP).
//!
//! Rules go to nftables; to iptables where the configuration asks for it, or where there is no `nft`. Both name the
//! network, the container and the interface, so that DEL needs neither the mappings nor an address, and two attachments
//! of one pod leave each other alone. What the reference made for a container is removed too.

mod iptables;
mod nftables;
mod wish;

use std::net::IpAddr;

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Plugin};
use manifold_net::nft::NftError;
use manifold_net::{Net, conntrack, sysctl};
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::{PortmapBackend, Protocol, mappings};

use self::wish::Wish;
use super::chained;
use crate::interface::failure::Told;
use crate::interface::masquerade::Key;
use crate::interface::ruleset::tool;
use crate::interface::teardown::Teardown;
use crate::interface::undo::{AfterStep, Undo};

const NAME: &str = "portmap";

#[derive(Clone, Copy, Debug)]
pub struct Portmap {
    pub after_step: AfterStep,
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
        match backend(&conf, input) {
            PortmapBackend::Iptables => iptables::check(&conf, &key, &wishes, input.deadline),
            PortmapBackend::Nftables => nftables::check(&tool(input.deadline).told()?, &conf, &key, &wishes),
        }
    }

    /// By what the rules say of themselves, in both backends: the configuration may have changed since ADD.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        remove(input, &Key::of_detachment(input, at))
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        match tool(input.deadline) {
            Err(NftError::NotInstalled { .. }) => {}
            nft => {
                teardown.part(nft.told().and_then(|nft| nftables::collect(&nft, &input.name, keep).told()))
            }
        }
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
    let owned = *key;
    match backend(conf, input) {
        PortmapBackend::Iptables => {
            // Two families are two calls, of which the second may fail.
            let made = iptables::set_up(conf, key, wishes, input.deadline);
            undo.done("rules", move || remove(input, &owned))?;
            made?;
        }
        PortmapBackend::Nftables => {
            nftables::set_up(&tool(input.deadline).told()?, conf, key, wishes).told()?;
            undo.done("rules", move || remove(input, &owned))?;
        }
    }
    for wish in wishes {
        if conf.snat {
            let_loopback_through(wish.address.addr())?;
        }
        forget_flows(wish);
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

/// A UDP flow that is tracked goes on to where it went; only its end would bring it to the new rules (PLG-PORTMAP-9).
fn forget_flows(wish: &Wish) {
    let udp = wish.mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp);
    let ports: Vec<u16> = udp.map(|mapping| mapping.host_port).collect();
    if ports.is_empty() {
        return;
    }
    if let Err(error) = conntrack::forget_udp(wish.family(), &ports) {
        tracing::warn!(%error, ?ports, "tracked flows to these ports may go on to an earlier container");
    }
}

fn remove(input: &Input, key: &Key<'_>) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    let nft = match tool(input.deadline) {
        Err(NftError::NotInstalled { .. }) => false,
        nft => {
            teardown.part(nft.told().and_then(|nft| nftables::tear_down(&nft, key).told()));
            true
        }
    };
    let iptables = iptables::tear_down(key, input.deadline, &mut teardown);
    if !nft && !iptables && !mappings(&input.config).unwrap_or_default().is_empty() {
        let text = "neither `nft` nor `iptables` works on this host, so mapped ports may still lead to the container";
        teardown.part(Err(CniError::failed(text).details("fix: install the one that ADD used")));
    }
    teardown.finish()
}
