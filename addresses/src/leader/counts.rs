//! What a pool's status says: how many addresses are whose, where the next ones are, and what `Auto` means.

use std::collections::{BTreeMap, BTreeSet};

use manifold_crds::ipam::pool::{NEXT_HINTS, OPEN_HINTS};
use manifold_crds::ipam::{Allocation, BlockCidr, BlockState, Mode, NodeUid, Offset};

use super::Living;
use super::reserve::without_object;
use crate::api::{Stored, allocated_mask, withheld_mask};
use crate::claim::Hints;
use crate::moment::Seconds;
use crate::pool::Pool;

/// With fewer blocks than this a pool is given address by address.
const LEAST_BLOCKS: u128 = 8;
/// With fewer blocks than this for each node that uses it too.
const LEAST_BLOCKS_PER_NODE: u128 = 4;
/// A change of mode must be right for so long.
const CHANGE_AFTER_SECONDS: Seconds = 600;

/// Of one pool. `used`, `idle` and `free` make `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses that can be given to anybody.
    pub total: u128,
    /// Living pods show them, claims or foreign pods have them, or they are withheld.
    pub used: u128,
    /// They lie with a node for its next pods.
    pub idle: u128,
    /// Nobody has them.
    pub free: u128,
    /// Nodes that have any.
    pub nodes: u64,
}

/// Counts a pool. `blocks` has all blocks of the domain.
pub fn counts(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, living: &Living) -> Counts {
    let total = pool.ordinary.count();
    let (mut used, mut idle) = (0_u128, 0_u128);
    let mut nodes: BTreeSet<&NodeUid> = BTreeSet::new();
    for (block, stored) in blocks {
        let of_pool = pool.ordinary.mask(*block);
        if of_pool == 0 {
            continue;
        }
        let kept = kept_mask(stored);
        let with_node = allocated_mask(&stored.spec) & !kept;
        let shown = Offset::all()
            .filter(|o| living.contains_key(&block.address(*o)))
            .fold(0, |mask, offset| mask | offset.bit());
        used += u128::from((of_pool & (kept | shown)).count_ones());
        idle += u128::from((of_pool & with_node & !shown).count_ones());
        nodes.extend(stored.spec.nodes());
    }
    let outside =
        |ip: &&std::net::IpAddr| pool.ordinary.contains(**ip) && !blocks.contains_key(&BlockCidr::of(**ip));
    used += living.keys().filter(outside).count() as u128;
    Counts { total, used, idle, free: total.saturating_sub(used + idle), nodes: nodes.len() as u64 }
}

/// Addresses that claims and foreign pods have, or that are withheld.
fn kept_mask(stored: &Stored) -> u16 {
    let mut mask = withheld_mask(&stored.spec);
    if let BlockState::Shared(all) = &stored.spec.state {
        let kept = all.iter().filter(|(_, a)| !matches!(a, Allocation::Node(_)));
        mask |= kept.fold(0, |mask, (offset, _)| mask | offset.bit());
    }
    mask
}

/// Where claimers should look first.
pub fn hints(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, mode: Mode) -> Hints {
    let has_room = |stored: &&Stored| {
        pool.ordinary.mask(stored.spec.cidr) & !allocated_mask(&stored.spec) & !withheld_mask(&stored.spec)
            != 0
    };
    Hints {
        mode: Some(mode),
        open: blocks.values().filter(has_room).map(|s| s.spec.cidr).take(OPEN_HINTS).collect(),
        next: without_object(pool, blocks).take(NEXT_HINTS).collect(),
    }
}

/// What `Auto` means: singles where the pool is small for the nodes that use it. What it meant before stays until the other
/// was right for ten minutes, or addresses are short (`is_short`). `other_for`: how long the other was right already.
pub fn auto_mode(pool: &Pool, nodes: u64, before: Option<Mode>, other_for: Seconds, is_short: bool) -> Mode {
    if pool.mode != Mode::Auto {
        return pool.mode;
    }
    let blocks = pool.ordinary.blocks();
    let small = blocks < LEAST_BLOCKS || blocks < LEAST_BLOCKS_PER_NODE * u128::from(nodes);
    let right = if small { Mode::Singles } else { Mode::Blocks };
    match before {
        Some(before)
            if before != Mode::Auto && before != right && other_for < CHANGE_AFTER_SECONDS && !is_short =>
        {
            before
        }
        _ => right,
    }
}
