//! What a node asks for when it has nothing to give: for a whole pod at once, without ever listing.
//!
//! Who calls it holds the claiming lock of the domain, looked again under it, and goes through [`candidates`] in order: an
//! [`Intent`](crate::intent::Intent) is durable, [`attempt`] says what to send, the answer decides:
//!
//! | answer | then |
//! | --- | --- |
//! | applied | [`Holdings::take`](crate::holdings::Holdings::take), durable; the intent goes; the lease, still under the claiming lock |
//! | conflict | GET the block; [`attempt`] again with what was read |
//! | unknown | GET; what is there is settled by [`reconcile`](crate::reconcile::reconcile) |

use manifold_crds::ipam::{BlockCidr, BlockSpec, BlockState, Mode, Offset};

use crate::api::{Identity, Stored, Write, allocated_mask, withheld_mask};
use crate::holdings::{Holdings, Part, offsets};
use crate::pool::Pool;

/// At most so many blocks at once.
pub const MOST_BLOCKS_AT_ONCE: usize = 8;
/// How many hints are tried.
pub const HINT_TRIES: usize = 2;
/// How many random blocks are tried in a pool that is too large to try every block.
pub const CHANCE_TRIES: usize = 8;
/// Where nobody said what `Auto` means, fewer blocks than this are given address by address.
pub const SINGLES_BELOW_BLOCKS: u128 = 64;

/// Chance, from whoever calls: claimers that all try the same block get in each other's way.
pub trait Chance {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u128) -> u128;
}

/// What the pool's status says, as far as the node knows it. May be old: a hint that is wrong costs one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// What `Auto` means.
    pub mode: Option<Mode>,
    /// Shared blocks with room.
    pub open: Vec<BlockCidr>,
    /// Blocks without an object.
    pub next: Vec<BlockCidr>,
}

/// How far a claim goes before it says that a pool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// A few blocks: enough unless the pool is nearly full.
    Some,
    /// Every block of a small pool, so that its last free address is found without hints.
    Every,
}

impl Search {
    /// Pools of at most so many blocks are tried block by block.
    fn most_blocks(self) -> u128 {
        match self {
            Self::Some => CHANCE_TRIES as u128,
            Self::Every => SINGLES_BELOW_BLOCKS,
        }
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A whole block.
    Block,
    /// So many addresses of a shared block, or as many as it has, if any.
    Singles(u32),
    /// Exactly this address of it.
    Exactly(Offset),
}

/// What to do with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Attempt {
    /// Send this; if it is applied, the node has this part of the block.
    Send(Write, Part),
    /// The node has a part of it that its holdings do not know or do not give: settle that first, and look again.
    Reconcile,
    /// Others have it, or it has no room. Try another.
    Skip,
}

/// Blocks or single addresses.
pub fn mode(pool: &Pool, hints: &Hints) -> Mode {
    match (pool.mode, hints.mode) {
        (Mode::Auto, Some(Mode::Blocks)) => Mode::Blocks,
        (Mode::Auto, None | Some(Mode::Auto)) if pool.ordinary.blocks() >= SINGLES_BELOW_BLOCKS => {
            Mode::Blocks
        }
        (Mode::Auto, _) => Mode::Singles,
        (fixed, _) => fixed,
    }
}

/// How many blocks to ask for at once: enough for what is missing, and half of what is held, so that a node that grows
/// asks less and less often.
pub fn blocks_to_claim(missing: u32, held: usize) -> usize {
    (missing.div_ceil(16) as usize).max(held / 2).clamp(1, MOST_BLOCKS_AT_ONCE)
}

/// How many more addresses the node may have of a pool.
pub fn room_on_node(pool: &Pool, holdings: &Holdings) -> u32 {
    if pool.max_per_node == 0 {
        return u32::MAX;
    }
    let have: u32 =
        holdings.iter().map(|(block, h)| (h.part.mask() & pool.ordinary.mask(block)).count_ones()).sum();
    pool.max_per_node.saturating_sub(have)
}

/// What to ask for: a block only where the node may have all of it.
pub fn want(mode: Mode, missing: u32, room: u32) -> Want {
    if mode == Mode::Blocks && room >= 16 { Want::Block } else { Want::Singles(missing.min(room)) }
}

/// Which blocks to try, in order: two hints, then random ones, or all others if the search covers the pool. No block twice, and
/// none that the node holds as a whole and gives from.
pub fn candidates(
    pool: &Pool,
    mode: Mode,
    hints: &Hints,
    holdings: &Holdings,
    search: Search,
    chance: &mut impl Chance,
) -> Vec<BlockCidr> {
    let useful = |block: BlockCidr| {
        let open = |h: &crate::holdings::Holding| h.part == Part::Whole && h.closing == 0;
        pool.ordinary.mask(block) != 0 && !holdings.get(block).is_some_and(open)
    };
    let mut found: Vec<BlockCidr> = Vec::with_capacity(HINT_TRIES + CHANCE_TRIES);
    let by_kind = if mode == Mode::Blocks { [&hints.next, &hints.open] } else { [&hints.open, &hints.next] };
    for hints in by_kind {
        // Each begins elsewhere in the list, which is the same for all.
        let begin = chance.below(hints.len().max(1) as u128) as usize;
        let turned = hints.iter().cycle().skip(begin).take(hints.len()).copied();
        let room = HINT_TRIES - found.len();
        found.extend(turned.filter(|block| useful(*block)).take(room));
    }
    by_chance(pool, useful, search, chance, &mut found);
    found
}

fn by_chance(
    pool: &Pool,
    useful: impl Fn(BlockCidr) -> bool,
    search: Search,
    chance: &mut impl Chance,
    found: &mut Vec<BlockCidr>,
) {
    let blocks = pool.ordinary.blocks();
    let most = found.len() + CHANCE_TRIES;
    if blocks <= search.most_blocks() {
        // Few enough to try each: an address that is free is found.
        let begin = chance.below(blocks.max(1));
        let all = (0..blocks).filter_map(|n| pool.ordinary.nth_block((begin + n) % blocks));
        let new: Vec<_> = all.filter(|block| useful(*block) && !found.contains(block)).collect();
        found.extend(new);
        return;
    }
    for _ in 0..4 * CHANCE_TRIES {
        let block = pool.ordinary.nth_block(chance.below(blocks));
        if let Some(block) = block.filter(|block| useful(*block) && !found.contains(block)) {
            found.push(block);
        }
        if found.len() == most {
            return;
        }
    }
}

/// What to send for a block, by what was read of it; `None`: nothing was read, or there is no object.
///
/// `held` is what the holdings say of it already.
pub fn attempt(
    block: BlockCidr,
    read: Option<&Stored>,
    want: Want,
    pool: &Pool,
    held: u16,
    me: &Identity,
) -> Attempt {
    let Some(stored) = read else { return create(block, want, pool, me) };
    let own = me.part_of(&stored.spec).mask();
    if own & !held != 0 || own == u16::MAX {
        return Attempt::Reconcile;
    }
    let BlockState::Shared(all) = &stored.spec.state else { return Attempt::Skip };
    let only_own = all.values().all(|a| me.has(a));
    let (state, part) = if want == Want::Block && only_own && pool.may_be_held(block) {
        (me.held(next_epoch(&stored.spec, me)), Part::Whole)
    } else {
        let free = !allocated_mask(&stored.spec) & !withheld_mask(&stored.spec);
        let new = choose(free, block, want, pool);
        if new == 0 {
            return Attempt::Skip;
        }
        let mut all = all.clone();
        all.extend(offsets(new).map(|offset| (offset, me.share(0))));
        (BlockState::Shared(all), Part::Singles(own | new))
    };
    Attempt::Send(Write::of(BlockSpec { state, ..stored.spec.clone() }, read), part)
}

fn create(block: BlockCidr, want: Want, pool: &Pool, me: &Identity) -> Attempt {
    let (state, part) = if want == Want::Block && pool.may_be_held(block) {
        (me.held(0), Part::Whole)
    } else {
        let new = choose(u16::MAX, block, want, pool);
        if new == 0 {
            return Attempt::Skip;
        }
        (BlockState::Shared(offsets(new).map(|offset| (offset, me.share(0))).collect()), Part::Singles(new))
    };
    let spec = BlockSpec { domain: pool.domain.clone(), cidr: block, withheld: Default::default(), state };
    Attempt::Send(Write::Create(spec), part)
}

/// Which free addresses of a block to take. Fixed ones only by name.
fn choose(free: u16, block: BlockCidr, want: Want, pool: &Pool) -> u16 {
    match want {
        Want::Exactly(offset) => free & offset.bit(),
        // A block that may not be held whole is shared, and one address of it is asked for.
        Want::Block => first_bits(free & pool.ordinary.mask(block), 1),
        Want::Singles(n) => first_bits(free & pool.ordinary.mask(block), n),
    }
}

fn first_bits(mask: u16, n: u32) -> u16 {
    offsets(mask).take(n as usize).fold(0, |taken, offset| taken | offset.bit())
}

/// Above every epoch that this node wrote into the block.
pub(crate) fn next_epoch(spec: &BlockSpec, me: &Identity) -> u64 {
    match &spec.state {
        BlockState::Held(held) => held.holder.epoch + 1,
        BlockState::Shared(all) => all
            .values()
            .filter(|a| me.has(a))
            .filter_map(|a| a.node())
            .map(|s| s.epoch + 1)
            .max()
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
