//! `--who`: one address, by its block and the pods of one node.

use std::net::IpAddr;

use anyhow::Context as _;
use kube::Client;
use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Domain};

use super::facts::{Shown, shown_on};
use crate::address_objects;

pub(super) async fn answer(client: &Client, domain: &Domain, ip: IpAddr) -> anyhow::Result<String> {
    let name = BlockCidr::of(ip).object_name(domain);
    let found = address_objects::blocks(client).get_opt(&name).await;
    let found = found.with_context(|| format!("AddressBlock `{name}` cannot be read"))?;
    let spec = match &found {
        None => None,
        Some(object) => Some(
            address_objects::block(object)
                .with_context(|| format!("AddressBlock `{name}` has no shape of one"))?,
        ),
    };
    let holder = spec.as_ref().and_then(|spec| holder(spec, ip));
    let shown = match &holder {
        Some(Holder::Node(node)) => shown_on(client, node).await?,
        _ => Vec::new(),
    };
    Ok(told(ip, domain, holder.as_ref(), &shown))
}

/// Who has an address, by its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Node(String),
    Claim(String),
    Pod(String),
}

pub(super) fn holder(spec: &BlockSpec, ip: IpAddr) -> Option<Holder> {
    let offset = BlockCidr::offset_of(ip);
    if let Some(withheld) = spec.withheld.get(&offset) {
        return Some(Holder::Pod(withheld.pod.clone()));
    }
    match &spec.state {
        BlockState::Held(held) => Some(Holder::Node(held.holder.node.to_string())),
        BlockState::Shared(all) => all.get(&offset).map(|allocation| match allocation {
            Allocation::Node(share) => Holder::Node(share.node.to_string()),
            Allocation::Claim { claim } => Holder::Claim(format!("{}/{}", claim.namespace, claim.name)),
            Allocation::Foreign { foreign } => Holder::Pod(foreign.pod.clone()),
        }),
    }
}

pub(super) fn told(ip: IpAddr, domain: &Domain, holder: Option<&Holder>, shown: &[Shown]) -> String {
    let whose = match holder {
        None => "free, and held by no node".to_owned(),
        Some(Holder::Claim(claim)) => format!("IPAMClaim {claim}"),
        Some(Holder::Pod(pod)) => format!("pod {pod}, kept for it by the controller"),
        Some(Holder::Node(node)) => match shown.iter().find(|shown| shown.ip == ip) {
            Some(Shown { pod, interface, network, .. }) => {
                format!("pod {pod}, interface {interface}, network {network}, on node {node}")
            }
            None => format!("held by node {node}; no pod there shows it"),
        },
    };
    format!("{ip} (domain {domain}): {whose}\n")
}
