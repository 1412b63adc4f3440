//! What a pool's status says: how many addresses are whose, where the next ones are, and what `Auto` means.

use std::collections::{BTreeMap, BTreeSet};

use manifold_crds::ipam::pool::{NEXT_HINTS, OPEN_HINTS};
use manifold_crds::ipam::{Allocation, BlockCidr, BlockState, Mode, NodeUid};

use super::Showing;
use super::reserve::{of_pool, open_mask, without_object};
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
pub fn counts(pool: &Pool, blocks: &BTreeMap<BlockCidr, Stored>, showing: &impl Showing) -> Counts {
    let total = pool.ordinary.count();
    let (mut used, mut idle) = (0_u128, 0_u128);
    let mut nodes: BTreeSet<&NodeUid> = BTreeSet::new();
    for (block, stored) in of_pool(pool, blocks) {
        let mask = pool.ordinary.mask(block);
        if mask == 0 {
            continue;
        }
        let kept = kept_mask(stored);
        let with_node = allocated_mask(&stored.spec) & !kept;
        let shown = showing.mask(block);
        used += u128::from((mask & (kept | shown)).count_ones());
        idle += u128::from((mask & with_node & !shown).count_ones());
        nodes.extend(stored.spec.nodes());
    }
    let (first, last) = pool.blocks();
    let outside = showing.masks(first, last).into_iter().filter(|(block, _)| !blocks.contains_key(block));
    used += outside
        .map(|(block, shown)| u128::from((pool.ordinary.mask(block) & shown).count_ones()))
        .sum::<u128>();
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
    let has_room = |(_, stored): &(BlockCidr, &Stored)| open_mask(pool, stored) != 0;
    Hints {
        mode: Some(mode),
        open: of_pool(pool, blocks).filter(has_room).map(|(block, _)| block).take(OPEN_HINTS).collect(),
        next: without_object(pool, blocks).take(NEXT_HINTS).collect(),
    }
}

/// What `Auto` means: singles where the pool is small for the nodes that use it. What it meant before stays until the other
/// was right for ten minutes; singles come at once where addresses are short (`is_short`). `other_for`: how long the other was
/// right already.
pub fn auto_mode(pool: &Pool, nodes: u64, before: Option<Mode>, other_for: Seconds, is_short: bool) -> Mode {
    if pool.mode != Mode::Auto {
        return pool.mode;
    }
    let right = right_mode(pool, nodes);
    match before {
        Some(before)
            if before != Mode::Auto
                && before != right
                && other_for < CHANGE_AFTER_SECONDS
                && !(is_short && right == Mode::Singles) =>
        {
            before
        }
        _ => right,
    }
}

fn right_mode(pool: &Pool, nodes: u64) -> Mode {
    let blocks = pool.ordinary.blocks();
    let small = blocks < LEAST_BLOCKS || blocks < LEAST_BLOCKS_PER_NODE * u128::from(nodes);
    if small { Mode::Singles } else { Mode::Blocks }
}

/// What `Auto` means in one pool, and since when the other would be right. A new leader begins with what the pool's status
/// says, and waits anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModeOverTime {
    mode: Option<Mode>,
    other_since: Option<Seconds>,
}

impl ModeOverTime {
    /// As the pool's status says.
    pub fn of(mode: Option<Mode>) -> Self {
        Self { mode, other_since: None }
    }

    /// What it means now.
    pub fn now(&mut self, pool: &Pool, nodes: u64, is_short: bool, now: Seconds) -> Mode {
        let is_other = self.mode.is_some_and(|mode| mode != right_mode(pool, nodes));
        self.other_since = if is_other { Some(self.other_since.unwrap_or(now)) } else { None };
        let other_for = self.other_since.map_or(0, |since| now.saturating_sub(since));
        let mode = auto_mode(pool, nodes, self.mode, other_for, is_short);
        if self.mode != Some(mode) {
            *self = Self::of(Some(mode));
        }
        mode
    }
}
