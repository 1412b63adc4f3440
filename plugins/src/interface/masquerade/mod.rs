//! Source NAT for what a pod sends beyond its own network (PLG-COM-20 to -23).
//!
//! Rules go to nftables; to iptables where the configuration asks for it, or where there is no `nft`. The reference
//! prefers iptables; we write to tables of our own, and a host's iptables rules are the administrator's. Rules are
//! found again by what their comments say, so removal needs no address and no namespace.

mod iptables;
mod key;
mod nftables;

use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{AttachmentId, CniError, Detachment, Input, NetworkName};
use manifold_net::Net;
use manifold_net::nft::NftError;
use manifold_plugin_conf::MasqBackend;

pub(crate) use key::{Key, hash, network_hash, stale};

use super::failure::Told;
use super::ruleset;
use super::teardown::Teardown;

pub(crate) fn set_up(
    backend: MasqBackend,
    key: &Key<'_>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    match (backend, ruleset::tool(deadline)) {
        (MasqBackend::Iptables, _) => iptables::set_up(key, addresses, deadline),
        (MasqBackend::Auto, Err(NftError::NotInstalled { .. })) => iptables::set_up(key, addresses, deadline)
            .map_err(|error| error.context("there is no `nft` either")),
        (_, nft) => nftables::set_up(&nft.told()?, key, addresses).told(),
    }
}

/// CHECK: the rules of these addresses are there, in either backend; the configuration does not say which one ADD used.
pub(crate) fn check(
    backend: MasqBackend,
    key: &Key<'_>,
    addresses: &[IpNet],
    deadline: Instant,
) -> Result<(), CniError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let Err(lacking) = nftables::check(key, addresses, deadline) else { return Ok(()) };
    match iptables::check(key, addresses, deadline) {
        Err(other) if backend == MasqBackend::Iptables => Err(other),
        done => done.map_err(|_| lacking),
    }
}

/// Whichever backend ADD used, in whatever state the host is now: both are cleaned as far as the host has them.
/// `addresses` are those known to be this attachment's; `None` when nobody can tell any more.
pub(crate) fn tear_down(
    key: &Key<'_>,
    addresses: Option<&[IpNet]>,
    deadline: Instant,
) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    teardown.part(nftables::tear_down(key, deadline).told());
    teardown.part(iptables::tear_down(key, addresses, deadline));
    teardown.finish()
}

/// Removes the rules of this network's attachments that are not in `keep`.
pub(crate) fn collect(
    network: &NetworkName,
    keep: &[AttachmentId],
    deadline: Instant,
) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    teardown.part(nftables::collect(network, keep, deadline).told());
    teardown.part(iptables::collect(network, keep, deadline));
    teardown.finish()
}

/// The addresses of an attachment that is going: what its result says, else what its link has. Only iptables rules need
/// them, to spare those of another interface of the same container.
pub(crate) fn known_addresses(input: &Input, at: &Detachment, pod: Option<&Net>) -> Option<Vec<IpNet>> {
    // None at all tells as little as no result: a link can lose its addresses.
    let any = |addresses: &Vec<IpNet>| !addresses.is_empty();
    if let Some(prev) = &input.prev_result {
        return Some(prev.ips.iter().map(|ip| ip.address).collect()).filter(any);
    }
    let pod = pod?;
    let link = pod.link(at.ifname.as_str()).ok()??;
    let addresses = pod.addresses(link.index).ok()?;
    Some(addresses.into_iter().filter(|address| address.scope == 0).map(|address| address.ip).collect())
        .filter(any)
}
