//! What a round sends for the blocks of one domain, decided on what the feeds told: each write names the version that it was
//! decided on, and none of them frees an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_addresses::api::{Stored, Write};
use manifold_addresses::leader::{
    Nodes, Observed, Showing as _, duplicates, mark_lost_node, may_delete, recall_for, reserve, strays,
    unneeded,
};
use manifold_addresses::moment::Seconds;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockCidr, BlockState, Domain, RecallReason};

use super::view::View;

/// A status may be told before the block that its node took. So long is waited for the block.
const STRAY_AFTER_SECONDS: Seconds = 3;
/// What two pods show for as long is no pod that takes the other's place.
const DUPLICATE_AFTER_SECONDS: Seconds = 10;
/// A node that did not answer a recall for so long is told of.
const SILENT_AFTER_SECONDS: Seconds = 60;

/// What a round finds in a domain.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// At most one for each block.
    pub(super) writes: Vec<Write>,
    /// Pools that are short of addresses: their reserve is not full and no block without an object is left.
    pub(super) short: BTreeSet<String>,
    /// Addresses that two living pods show, with their names.
    pub(super) duplicates: BTreeMap<IpAddr, Vec<String>>,
    /// Nodes that do not answer a recall, by block.
    pub(super) silent: BTreeMap<BlockCidr, String>,
}

/// Looks through one domain.
pub(super) fn look(
    view: &View,
    domain: &Domain,
    nodes: &Nodes,
    observed: &mut Observed,
    now: Seconds,
) -> Found {
    let blocks = view.blocks.of(domain);
    let mut found = Found::default();
    let mut writes = Writes::default();
    blocks.values().filter_map(|stored| mark_lost_node(stored, nodes)).for_each(|write| writes.add(write));
    find_strays(view, domain, observed, now, &mut writes);
    for (ip, node) in wishes(view, domain) {
        if let Some(stored) = blocks.get(&BlockCidr::of(ip)) {
            let living = view.shown(domain).living(stored.spec.cidr);
            let node = node.and_then(|name| view.node_uid(name));
            recall_for(stored, ip, node, &living).into_iter().for_each(|write| writes.add(write));
        }
    }
    keep_reserves(view, domain, &mut writes, &mut found.short);
    find_duplicates(view, domain, observed, now, &mut found.duplicates);
    for stored in blocks.values() {
        find_silent(stored, observed, now, &mut found.silent);
    }
    found.writes = writes.0.into_values().collect();
    found
}

/// The first write to a block is sent; what else is to be done with it is decided on what comes of that.
#[derive(Debug, Default)]
struct Writes(BTreeMap<BlockCidr, Write>);

impl Writes {
    fn add(&mut self, write: Write) {
        self.0.entry(write.block()).or_insert(write);
    }
}

fn find_strays(view: &View, domain: &Domain, observed: &mut Observed, now: Seconds, writes: &mut Writes) {
    let (shown, blocks) = (view.shown(domain), view.blocks.of(domain));
    for block in shown.blocks() {
        if shown.is_by_owners(block, blocks.get(&block)) && !observed.has(block) {
            continue;
        }
        let write = strays(domain, block, blocks.get(&block), &shown.living(block));
        let seconds = observed.seconds(block, "stray", write.is_some(), now);
        if let (Some(write), Some(STRAY_AFTER_SECONDS..)) = (write, seconds) {
            writes.add(write);
        }
    }
}

/// Addresses that pods without a status ask for by name in a network of this domain.
fn wishes<'a>(view: &'a View, domain: &Domain) -> Vec<(IpAddr, Option<&'a str>)> {
    let mut all = Vec::new();
    for (_, node, asks) in view.pods.asking() {
        for (network, ip) in &asks.wishes {
            let reference = network.split_once('/').and_then(|(a, b)| manifold_crds::NadRef::new(a, b).ok());
            let definition = reference.and_then(|reference| view.definitions.get(&reference));
            let mut pools = definition.into_iter().flat_map(|definition| definition.pools());
            let gives = |pool: &Pool| pool.domain == *domain && pool.check_requested(*ip).is_ok();
            // A pod that is not bound may come to any node.
            if node.is_some() && pools.any(|name| view.pool(name.as_str()).is_some_and(gives)) {
                all.push((*ip, node));
            }
        }
    }
    all
}

fn keep_reserves(view: &View, domain: &Domain, writes: &mut Writes, short: &mut BTreeSet<String>) {
    let (shown, blocks) = (view.shown(domain), view.blocks.of(domain));
    let pools: Vec<(&str, &Pool)> = view.read_pools().filter(|(_, pool)| pool.domain == *domain).collect();
    for (name, pool) in &pools {
        let is_going = view.pools.get(&(*name).to_owned()).is_some_and(|object| object.is_going);
        let wanted = Pool { paused: pool.paused || is_going, ..(*pool).clone() };
        for write in reserve(&wanted, blocks, &shown).writes {
            match &write {
                Write::Delete { block, .. } => {
                    if pools.iter().all(|(_, other)| may_delete(other, blocks, *block)) {
                        writes.add(write);
                    }
                }
                Write::Replace { .. } => {
                    short.insert((*name).to_owned());
                    writes.add(write);
                }
                Write::Create(_) => writes.add(write),
            }
        }
    }
    let pools = pools.iter().map(|(_, pool)| *pool);
    unneeded(pools, blocks).into_iter().for_each(|write| writes.add(write));
}

fn find_duplicates(
    view: &View,
    domain: &Domain,
    observed: &mut Observed,
    now: Seconds,
    found: &mut BTreeMap<IpAddr, Vec<String>>,
) {
    let (shown, blocks) = (view.shown(domain), view.blocks.of(domain));
    for block in shown.shared() {
        for (ip, mut by) in duplicates(blocks.get(&block), block, &shown.living(block)) {
            by.retain(|one| !view.pods.is_going(&one.uid));
            let what = format!("duplicate {ip}");
            let seconds = observed.seconds(block, &what, by.len() > 1, now);
            if matches!(seconds, Some(DUPLICATE_AFTER_SECONDS..)) {
                found.insert(ip, by.into_iter().map(|one| one.pod).collect());
            }
        }
    }
}

fn find_silent(
    stored: &Stored,
    observed: &mut Observed,
    now: Seconds,
    found: &mut BTreeMap<BlockCidr, String>,
) {
    let block = stored.spec.cidr;
    let asked = |reason| matches!(reason, RecallReason::PoolShort | RecallReason::FixedAddress);
    let asked = match &stored.spec.state {
        BlockState::Held(held) if held.recall.as_ref().is_some_and(|recall| asked(recall.reason)) => {
            Some(held)
        }
        _ => None,
    };
    if asked.is_none() && !observed.has(block) {
        return;
    }
    let seconds = observed.seconds(block, "silent", asked.is_some(), now);
    if let (Some(held), Some(SILENT_AFTER_SECONDS..)) = (asked, seconds) {
        found.insert(block, held.holder.node.to_string());
    }
}
