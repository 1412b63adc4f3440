//! What a node makes of a block that was read: whether its holdings are right, and how they become so.
//!
//! A read alone never adds to the holdings. A request of the node that gives the block back may still be on its way: it
//! would land after the read, and two would give one address. So what is to be taken up is written anew with a higher
//! epoch. That moves the version, and nothing that was sent before it can land any more.

use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Domain, Recall, RecallReason};

use crate::api::{Identity, Stored, Write, allocated_mask, withheld_mask};
use crate::claim::next_epoch;
use crate::holdings::{Holding, Part, WHOLE_MASK, offsets};
use crate::moment::Moment;

/// What is known on the node of a block, under the domain's lock.
#[derive(Clone, Copy, Debug)]
pub struct OnNode<'a> {
    /// Its domain.
    pub domain: &'a Domain,
    /// Which.
    pub block: BlockCidr,
    /// What the holdings say of it.
    pub holding: Option<&'a Holding>,
    /// Which of its addresses have a lease of this boot. Leases of an earlier boot are swept first, those of claims are
    /// left out.
    pub leased: u16,
    /// Now.
    pub now: &'a Moment,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// Addresses with a living lease that somebody else has by now. Event `AddressConflict` names them.
    pub conflicts: u16,
    /// The rest.
    pub step: Step,
}

/// What to do about the holdings and the block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Step {
    /// All of it is held still: [`confirm`](crate::holdings::Holdings::confirm).
    Confirm {
        /// As the block says it now.
        withheld: u16,
    },
    /// Nothing of it is the node's: out of the holdings with it.
    Drop,
    /// First out of the holdings what is not in `keep`, and what is in `close` leaves, durably. Then send `write`. If it is
    /// applied, [`take`](crate::holdings::Holdings::take) `part`.
    Write {
        /// What may stay in the holdings until the answer.
        keep: u16,
        /// What must not be given until the answer.
        close: u16,
        /// What to send.
        write: Write,
        /// What the node has then.
        part: Part,
        /// As the block says it now.
        withheld: u16,
    },
}

/// Compares a block with what is known of it on the node.
pub fn reconcile(read: Option<&Stored>, here: &OnNode<'_>, me: &Identity) -> Reconciled {
    match read {
        None => Reconciled { conflicts: 0, step: recreate(here, me) },
        Some(stored) => match &stored.spec.state {
            BlockState::Held(held) if me.holds(held) => {
                Reconciled { conflicts: 0, step: held_by_me(stored, here, me) }
            }
            BlockState::Held(_) => Reconciled { conflicts: here.leased, step: Step::Drop },
            BlockState::Shared(_) => shared(stored, here, me),
        },
    }
}

/// The object vanished: by hand, or the API server was put back. What lives gets it back, if nobody was faster.
fn recreate(here: &OnNode<'_>, me: &Identity) -> Step {
    let had = here.holding.filter(|h| h.is_of_boot(here.now)).map_or(0, |h| h.part.mask() & !h.closing);
    let mask = had | here.leased;
    if mask == 0 {
        return Step::Drop;
    }
    let (state, part) = if mask == WHOLE_MASK {
        (me.held(0), Part::Whole)
    } else {
        (BlockState::Shared(offsets(mask).map(|o| (o, me.share(0))).collect()), Part::Singles(mask))
    };
    let withheld = here.holding.map_or(0, |h| h.withheld);
    let spec =
        BlockSpec { domain: here.domain.clone(), cidr: here.block, withheld: Default::default(), state };
    Step::Write { keep: WHOLE_MASK, close: WHOLE_MASK, write: Write::Create(spec), part, withheld }
}

/// Whether the holdings say just this, and nothing of it is leaving.
fn is_settled(here: &OnNode<'_>, part: Part) -> bool {
    here.holding.is_some_and(|h| h.part == part && h.closing == 0 && h.is_of_boot(here.now))
}

fn held_by_me(stored: &Stored, here: &OnNode<'_>, me: &Identity) -> Step {
    let withheld = withheld_mask(&stored.spec);
    if is_settled(here, Part::Whole) {
        return Step::Confirm { withheld };
    }
    let mut spec = stored.spec.clone();
    raise_epochs(&mut spec, me);
    let write = Write::of(spec, Some(stored));
    Step::Write { keep: WHOLE_MASK, close: 0, write, part: Part::Whole, withheld }
}

fn shared(stored: &Stored, here: &OnNode<'_>, me: &Identity) -> Reconciled {
    let own = me.part_of(&stored.spec).mask();
    let (taken, withheld) = (allocated_mask(&stored.spec), withheld_mask(&stored.spec));
    let conflicts = here.leased & taken & !own;
    let back = here.leased & !taken & !own;
    let part = Part::Singles(own | back);
    let step = if part.mask() == 0 {
        Step::Drop
    } else if back == 0 && is_settled(here, part) {
        Step::Confirm { withheld }
    } else {
        let mut spec = stored.spec.clone();
        raise_epochs(&mut spec, me);
        if let BlockState::Shared(all) = &mut spec.state {
            all.extend(offsets(back).map(|o| (o, me.share(0))));
        }
        Step::Write { keep: own, close: 0, write: Write::of(spec, Some(stored)), part, withheld }
    };
    Reconciled { conflicts, step }
}

/// Changes what is the node's own, and nothing else: what was written before it can no longer land.
fn raise_epochs(spec: &mut BlockSpec, me: &Identity) {
    let epoch = next_epoch(spec, me);
    match &mut spec.state {
        BlockState::Held(held) => held.holder.epoch = epoch,
        BlockState::Shared(all) => {
            for allocation in all.values_mut().filter(|a| me.has(a)) {
                if let Allocation::Node(share) = allocation {
                    share.epoch = epoch;
                }
            }
        }
    }
}

/// What a node writes into blocks that an earlier folder of its had: that this folder was lost. Nothing of them is given;
/// the leader finds out who lives there. None where there is nothing to say.
pub fn mark_lost_store(read: &Stored, me: &Identity) -> Option<Write> {
    let mut spec = read.spec.clone();
    let mut changed = false;
    match &mut spec.state {
        BlockState::Held(held) => {
            let holder = &held.holder;
            let other = holder.uid == me.uid && holder.store != me.store;
            let told = held.recall.as_ref().is_some_and(|r| r.reason == RecallReason::StoreLost);
            if other && !told {
                held.recall = Some(Recall { reason: RecallReason::StoreLost, since: String::new() });
                changed = true;
            }
        }
        BlockState::Shared(all) => {
            for allocation in all.values_mut() {
                if let Allocation::Node(share) = allocation
                    && share.uid == me.uid
                    && share.store != me.store
                    && !share.store_lost
                {
                    share.store_lost = true;
                    changed = true;
                }
            }
        }
    }
    changed.then(|| Write::of(spec, Some(read)))
}

#[cfg(test)]
mod tests;
