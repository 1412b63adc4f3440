//! What the node agent does next, by its holdings, its leases and the blocks that its label's watch shows. The watch may
//! lag behind, so each task reads its block again before it writes.
//!
//! Each task is done under the claiming lock of the domain, one at a time: what a claim of an ADD does with a block and
//! what the node agent does with it never mix.

use std::collections::BTreeMap;

use manifold_crds::ipam::{BlockCidr, BlockState, Mode};

use crate::api::{Identity, Stored, withheld_mask};
use crate::holdings::{CONFIRM_EVERY_SECONDS, Holding, Holdings, Part, WHOLE_MASK};
use crate::lease::Leases;
use crate::moment::{Moment, Seconds};
use crate::pool::Pool;
use crate::reconcile::mark_lost_store;

/// How long a block must be free before it is given back.
pub const IDLE_SECONDS: Seconds = 600;
/// In a domain that pods use, so many free addresses are kept at least.
pub const LEAST_FREE: u32 = 8;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Read the block; see [`reconcile`](crate::reconcile::reconcile).
    Reconcile(BlockCidr),
    /// These addresses go back: close them, read the block; see [`release`](crate::release::release).
    Release(BlockCidr, u16),
    /// An earlier folder of this node had it; see [`mark_lost_store`].
    MarkLostStore(BlockCidr),
    /// Too few are free for the next pods: claim one block; see [`claim`](crate::claim).
    TopUp,
}

/// A pool that pods of this node use, or whose addresses it holds, with what `Auto` means there.
#[derive(Clone, Debug)]
pub struct PoolInUse<'a> {
    /// It.
    pub pool: &'a Pool,
    /// Never `Auto`.
    pub mode: Mode,
}

/// When each block became free, as the node agent remembers it. A restart loses this; the wait then starts again.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    since: BTreeMap<BlockCidr, Seconds>,
}

impl Idle {
    fn seconds(&mut self, block: BlockCidr, is_free: bool, now: Seconds) -> Seconds {
        if !is_free {
            self.since.remove(&block);
            return 0;
        }
        now.saturating_sub(*self.since.entry(block).or_insert(now))
    }
}

/// What to do, the most urgent first. Intents are settled before any of it.
pub fn tasks(
    holdings: &Holdings,
    leases: &Leases,
    watched: &BTreeMap<BlockCidr, Stored>,
    pools: &[PoolInUse<'_>],
    idle: &mut Idle,
    me: &Identity,
    now: &Moment,
) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (block, holding) in holdings.iter() {
        tasks.extend(of_holding(block, holding, watched.get(&block), leases, me, now));
    }
    for (block, stored) in watched {
        if mark_lost_store(stored, me).is_some() {
            tasks.push(Task::MarkLostStore(*block));
        } else if holdings.get(*block).is_none() && me.part_of(&stored.spec).mask() != 0 {
            tasks.push(Task::Reconcile(*block));
        }
    }
    // Leases in use outside the holdings: the node lost their block, so it claims the block again.
    let outside = leases.addresses().filter(|ip| !holdings.contains(*ip)).map(BlockCidr::of);
    tasks.extend(outside.map(Task::Reconcile));
    spare(holdings, leases, pools, idle, now, &mut tasks);
    let mut seen = std::collections::BTreeSet::new();
    tasks.retain(|task| match task {
        Task::Reconcile(block) | Task::Release(block, _) | Task::MarkLostStore(block) => seen.insert(*block),
        Task::TopUp => true,
    });
    tasks
}

fn of_holding(
    block: BlockCidr,
    holding: &Holding,
    watched: Option<&Stored>,
    leases: &Leases,
    me: &Identity,
    now: &Moment,
) -> Option<Task> {
    if holding.confirmed_for(now).is_none_or(|seconds| seconds >= CONFIRM_EVERY_SECONDS) {
        return Some(Task::Reconcile(block));
    }
    let Some(stored) = watched else { return Some(Task::Reconcile(block)) };
    let differs = me.part_of(&stored.spec) != holding.part || withheld_mask(&stored.spec) != holding.withheld;
    let recalled = matches!(&stored.spec.state, BlockState::Held(held) if held.recall.is_some());
    if recalled && !differs {
        return Some(Task::Release(block, WHOLE_MASK));
    }
    if differs {
        return Some(Task::Reconcile(block));
    }
    let free = holding.closing & !leases.mask(block);
    (free != 0 || holding.closing == WHOLE_MASK).then_some(Task::Release(block, holding.closing))
}

/// What lies idle goes back; where too little does, a block is claimed.
fn spare(
    holdings: &Holdings,
    leases: &Leases,
    pools: &[PoolInUse<'_>],
    idle: &mut Idle,
    now: &Moment,
    tasks: &mut Vec<Task>,
) {
    let givable = |block| pools.iter().fold(0, |mask, p| mask | holdings.givable(block, p.pool, leases, now));
    let reuse_after = pools.iter().map(|p| p.pool.reuse_after_seconds).max().unwrap_or(0);
    let busy = |block| leases.mask(block) | leases.cooling_mask(block, reuse_after, now.seconds);
    let mut free: u32 = holdings.iter().map(|(block, _)| u32::from(givable(block)).count_ones()).sum();
    let in_use = leases.addresses().next().is_some();
    let blocks = pools.iter().any(|p| p.mode == Mode::Blocks);
    for (block, holding) in holdings.iter() {
        let busy = busy(block);
        match holding.part {
            Part::Singles(mask) if mask & !busy & !holding.closing != 0 => {
                tasks.push(Task::Release(block, mask & !busy));
            }
            Part::Singles(_) => {}
            Part::Whole => {
                let idle_for = idle.seconds(block, busy == 0, now.seconds);
                let of_block = u32::from(givable(block)).count_ones();
                let enough = !in_use || !blocks || free.saturating_sub(of_block) >= LEAST_FREE;
                if busy == 0 && idle_for >= IDLE_SECONDS && enough && holding.closing == 0 {
                    free = free.saturating_sub(of_block);
                    tasks.push(Task::Release(block, WHOLE_MASK));
                }
            }
        }
    }
    if in_use && blocks && free < LEAST_FREE {
        tasks.push(Task::TopUp);
    }
}

#[cfg(test)]
mod tests;
