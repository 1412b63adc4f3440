//! The reserve: a few addresses of each pool that any node can take one by one, so that no node waits for another.

use std::collections::{BTreeMap, BTreeSet};

use manifold_crds::ipam::{BlockCidr, BlockState, Recall, RecallReason};

use super::{Living, strays};
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
pub fn reserve(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, living: &Living) -> Reserve {
    let open_in = |stored: &Stored| open_mask(pool, stored).count_ones();
    let mut open: u128 = blocks.values().map(|s| u128::from(open_in(s))).sum();
    let mut writes = Vec::new();
    let target = target(pool);
    for block in without_object(pool, blocks) {
        if open >= target {
            break;
        }
        writes.push(create(pool, block, living));
        open += u128::from(pool.ordinary.mask(block).count_ones());
    }
    if open < target {
        writes.extend(recall(pool, blocks, living, target - open));
    }
    writes.extend(delete(pool, blocks, open, target));
    Reserve { writes }
}

/// Which addresses of a block any node can take.
fn open_mask(pool: &Pool, stored: &Stored) -> u16 {
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
fn create(pool: &Pool, block: BlockCidr, living: &Living) -> Write {
    strays(&pool.domain, block, None, living).unwrap_or_else(|| {
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
    living: &Living,
    missing: u128,
) -> Option<Write> {
    let mut coming = 0;
    let mut best: Option<(u32, &Stored)> = None;
    for stored in blocks.values() {
        let BlockState::Held(held) = &stored.spec.state else { continue };
        let shown: u16 = shown_mask(stored.spec.cidr, living);
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

fn shown_mask(block: BlockCidr, living: &Living) -> u16 {
    let last = block.address(
        manifold_crds::ipam::Offset::all().next_back().unwrap_or(BlockCidr::offset_of(block.start())),
    );
    living.range(block.start()..=last).fold(0, |mask, (ip, _)| mask | BlockCidr::offset_of(*ip).bit())
}

/// Empty shared blocks beyond the reserve.
fn delete(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, mut open: u128, target: u128) -> Vec<Write> {
    let mut gone = BTreeSet::new();
    let mut writes = Vec::new();
    for (block, stored) in blocks {
        let empty = stored.spec.withheld.is_empty()
            && matches!(&stored.spec.state, BlockState::Shared(all) if all.is_empty());
        let size = u128::from(open_mask(pool, stored).count_ones());
        if empty && size > 0 && open.saturating_sub(size) >= target && gone.insert(*block) {
            open -= size;
            writes.push(Write::Delete {
                domain: stored.spec.domain.clone(),
                block: *block,
                version: stored.version.clone(),
                uid: stored.uid.clone(),
            });
        }
    }
    writes
}
