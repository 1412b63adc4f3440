//! The reserve: a few addresses of each pool that any node can take one by one, so that no node waits for another.

use std::collections::BTreeMap;

use manifold_crds::ipam::{BlockCidr, BlockState, Recall, RecallReason};

use super::{Showing, strays};
use crate::api::{Stored, Write, allocated_mask, withheld_mask};
use crate::pool::Pool;

/// The fewest addresses that a reserve should have.
const LEAST_OPEN: u128 = 2;
/// The most.
const MOST_OPEN: u128 = 64;
/// How many blocks without an object are looked for before one is recalled.
const LOOKS: u128 = 4096;

/// What to do for the reserve of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// In this order. Each names the version it was decided on.
    pub writes: Vec<Write>,
}

/// How many addresses should be open.
fn target(pool: &Pool) -> u128 {
    (pool.ordinary.count() / 50).clamp(LEAST_OPEN, MOST_OPEN)
}

/// Makes shared blocks while too few addresses are open, else recalls the held block with most free ones; deletes shared
/// blocks that nobody uses where more than enough is open. `blocks` has all blocks of the domain.
///
/// Another pool may need a block that this one does not: ask [`may_delete`] for each of them before a delete is sent.
pub fn reserve(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, showing: &impl Showing) -> Reserve {
    let mut open = open(pool, blocks);
    let mut writes = Vec::new();
    // Of a pool that gives nothing, nothing needs to be ready.
    let target = if pool.paused { 0 } else { target(pool) };
    if open < target {
        for block in without_object(pool, blocks) {
            if open >= target {
                break;
            }
            writes.push(create(pool, block, showing));
            open += u128::from((pool.ordinary.mask(block) & !showing.mask(block)).count_ones());
        }
    }
    if open < target {
        writes.extend(recall(pool, blocks, showing, target - open));
    }
    writes.extend(delete(pool, blocks, open, target));
    Reserve { writes }
}

/// Whether a pool has enough open addresses without this block, or none in it at all.
pub fn may_delete(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, block: BlockCidr) -> bool {
    let Some(stored) = blocks.get(&block) else { return false };
    let size = u128::from(open_mask(pool, stored).count_ones());
    size == 0 || pool.paused || open(pool, blocks).saturating_sub(size) >= target(pool)
}

/// Deletes empty shared blocks that lie in no pool any more. `blocks` has all blocks of the domain, `pools` all of its pools.
pub fn unneeded<'a>(
    pools: impl Iterator<Item = &'a Pool> + Clone,
    blocks: &BTreeMap<BlockCidr, Stored>,
) -> Vec<Write> {
    let in_a_pool = |block: BlockCidr| {
        pools.clone().any(|pool| pool.ordinary.mask(block) != 0 || pool.fixed.mask(block) != 0)
    };
    let empty = blocks.values().filter(|stored| is_empty(stored));
    empty.filter(|stored| !in_a_pool(stored.spec.cidr)).map(deletion).collect()
}

fn open(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>) -> u128 {
    of_pool(pool, blocks).map(|(_, stored)| u128::from(open_mask(pool, stored).count_ones())).sum()
}

/// The blocks of a pool's subnet.
pub(super) fn of_pool<'a>(
    pool: &Pool,
    blocks: &'a BTreeMap<BlockCidr, Stored>,
) -> impl Iterator<Item = (BlockCidr, &'a Stored)> + use<'a> {
    let (first, last) = pool.blocks();
    blocks.range(first..=last).map(|(block, stored)| (*block, stored))
}

fn is_empty(stored: &Stored) -> bool {
    stored.spec.withheld.is_empty() && matches!(&stored.spec.state, BlockState::Shared(all) if all.is_empty())
}

fn deletion(stored: &Stored) -> Write {
    Write::Delete {
        domain: stored.spec.domain.clone(),
        block: stored.spec.cidr,
        version: stored.version.clone(),
        uid: stored.uid.clone(),
    }
}

/// Which addresses of a block any node can take.
pub(super) fn open_mask(pool: &Pool, stored: &Stored) -> u16 {
    pool.ordinary.mask(stored.spec.cidr) & !allocated_mask(&stored.spec) & !withheld_mask(&stored.spec)
}

pub(super) fn without_object<'a>(
    pool: &'a Pool,
    blocks: &'a BTreeMap<BlockCidr, Stored>,
) -> impl Iterator<Item = BlockCidr> + 'a {
    let count = pool.ordinary.blocks().min(LOOKS + blocks.len() as u128);
    (0..count).filter_map(|n| pool.ordinary.nth_block(n)).filter(|block| !blocks.contains_key(block))
}

/// What living pods show in it already is theirs from the first.
fn create(pool: &Pool, block: BlockCidr, showing: &impl Showing) -> Write {
    strays(&pool.domain, block, None, &showing.living(block)).unwrap_or_else(|| {
        Write::Create(manifold_crds::ipam::BlockSpec {
            domain: pool.domain.clone(),
            cidr: block,
            withheld: Default::default(),
            state: BlockState::Shared(Default::default()),
        })
    })
}

/// The held block with most free addresses, unless what is recalled already will do.
fn recall(
    pool: &Pool,
    blocks: &BTreeMap<BlockCidr, Stored>,
    showing: &impl Showing,
    missing: u128,
) -> Option<Write> {
    let mut coming = 0;
    let mut best: Option<(u32, &Stored)> = None;
    for (_, stored) in of_pool(pool, blocks) {
        let BlockState::Held(held) = &stored.spec.state else { continue };
        let shown = showing.mask(stored.spec.cidr);
        let free =
            (pool.ordinary.mask(stored.spec.cidr) & !shown & !withheld_mask(&stored.spec)).count_ones();
        if held.recall.is_some() {
            coming += u128::from(free);
        } else if free > best.map_or(0, |(most, _)| most) {
            best = Some((free, stored));
        }
    }
    if coming >= missing {
        return None;
    }
    let stored = best?.1;
    let mut spec = stored.spec.clone();
    if let BlockState::Held(held) = &mut spec.state {
        held.recall = Some(Recall { reason: RecallReason::PoolShort, since: String::new() });
    }
    Some(Write::of(spec, Some(stored)))
}

/// Empty shared blocks beyond the reserve.
fn delete(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, mut open: u128, target: u128) -> Vec<Write> {
    let mut writes = Vec::new();
    for (_, stored) in of_pool(pool, blocks).filter(|(_, stored)| is_empty(stored)) {
        let size = u128::from(open_mask(pool, stored).count_ones());
        if size > 0 && open.saturating_sub(size) >= target {
            open -= size;
            writes.push(deletion(stored));
        }
    }
    writes
}
