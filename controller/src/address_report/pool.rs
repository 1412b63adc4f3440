//! `--pool`: which nodes have how many addresses of a pool.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context as _;
use kube::Client;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Allocation, BlockState, Offset, PoolName, PoolStatus};

use super::facts::{Block, Shown, blocks, shown_on};
use super::{row, table};
use crate::address_objects::{self, StoredPool, of_domain};

/// Of more nodes the pods are not asked for: the answer should come at once.
const MOST_NODES: usize = 64;

pub(super) async fn answer(client: &Client, name: &PoolName) -> anyhow::Result<String> {
    let found = address_objects::pools(client).get_opt(name.as_str()).await;
    let found = found.with_context(|| format!("AddressPool `{name}` cannot be read"))?;
    let found =
        found.with_context(|| format!("there is no AddressPool `{name}`; see `kubectl get addresspools`"))?;
    let stored =
        StoredPool::read(&found).with_context(|| format!("AddressPool `{name}` has no shape of one"))?;
    let pool = Pool::read(&stored.spec)?;
    let blocks = blocks(client, of_domain(&pool.domain)).await?;
    let held = held(&pool, &blocks);
    let mut shown = None;
    if held.len() <= MOST_NODES {
        let mut all: Vec<Shown> = Vec::new();
        for node in held.keys() {
            all.extend(shown_on(client, node).await?);
        }
        shown = Some(all);
    }
    Ok(told(name.as_str(), &stored.status, &held, &others(&pool, &blocks), shown.as_deref()))
}

/// What one node has of the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Has {
    pub(super) blocks: usize,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// By node.
pub(super) fn held(pool: &Pool, blocks: &[Block]) -> BTreeMap<String, Has> {
    let mut all: BTreeMap<String, Has> = BTreeMap::new();
    for spec in blocks.iter().filter_map(|block| block.spec.as_ref()) {
        let mask = pool.ordinary.mask(spec.cidr) | pool.fixed.mask(spec.cidr);
        let mut of_block: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for offset in Offset::all().filter(|offset| mask & offset.bit() != 0) {
            let node = match &spec.state {
                BlockState::Held(held) => Some(held.holder.node.to_string()),
                BlockState::Shared(shared) => {
                    shared.get(&offset).and_then(Allocation::node).map(|share| share.node.to_string())
                }
            };
            if let Some(node) = node {
                of_block.entry(node).or_default().insert(spec.cidr.address(offset));
            }
        }
        for (node, addresses) in of_block {
            let has = all.entry(node).or_default();
            has.blocks += 1;
            has.addresses.extend(addresses);
        }
    }
    all
}

/// Claims, and pods for which the controller keeps an address: a line each.
fn others(pool: &Pool, blocks: &[Block]) -> Vec<String> {
    let mut lines = Vec::new();
    for spec in blocks.iter().filter_map(|block| block.spec.as_ref()) {
        let BlockState::Shared(all) = &spec.state else { continue };
        for (offset, allocation) in all {
            let ip = spec.cidr.address(*offset);
            if !pool.ordinary.contains(ip) && !pool.fixed.contains(ip) {
                continue;
            }
            match allocation {
                Allocation::Node(_) => {}
                Allocation::Claim { claim } => {
                    lines.push(format!("{ip}: IPAMClaim {}/{}", claim.namespace, claim.name));
                }
                Allocation::Foreign { foreign } => lines.push(format!("{ip}: pod {}", foreign.pod)),
            }
        }
    }
    lines
}

pub(super) fn told(
    name: &str,
    status: &PoolStatus,
    held: &BTreeMap<String, Has>,
    others: &[String],
    shown: Option<&[Shown]>,
) -> String {
    let PoolStatus { total, used, free, idle, nodes, .. } = status;
    let mut text =
        format!("{name}: {total} addresses, {used} used, {idle} idle on {nodes} nodes, {free} free\n");
    let mut rows = vec![row(["NODE", "BLOCKS", "ADDRESSES", "USED", "IDLE"])];
    for (node, has) in held {
        let used = shown.map(|shown| {
            has.addresses.iter().filter(|ip| shown.iter().any(|shown| shown.ip == **ip)).count()
        });
        let number = |n: Option<usize>| n.map_or("-".to_owned(), |n| n.to_string());
        let idle = used.map(|used| has.addresses.len() - used);
        rows.push(vec![
            node.clone(),
            has.blocks.to_string(),
            has.addresses.len().to_string(),
            number(used),
            number(idle),
        ]);
    }
    text.push_str(&table(&rows));
    others.iter().for_each(|line| text.extend([line, "\n"]));
    text
}
