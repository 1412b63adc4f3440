//! How a node gives addresses back: first they are *closing* in its holdings, durably and under the domain's lock, so that
//! nothing more is given of them. Then the block is read and [`release`] says what to send. When that was applied,
//! [`take`](crate::holdings::Holdings::take) what is left.

use manifold_crds::ipam::{BlockSpec, BlockState};

use crate::api::{Identity, Stored, Write, withheld_mask};
use crate::claim::next_epoch;
use crate::holdings::{Holding, Part, WHOLE_MASK, offsets};

/// What to send, and what is left then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What to send.
    pub write: Write,
    /// What the node has then.
    pub left: Part,
    /// As the block says it.
    pub withheld: u16,
}

/// What to send so that what is closing goes. `busy`: which addresses of the block have a lease, or rest still; read under
/// the domain's lock, after the closing was durable. They stay the node's, one by one.
///
/// None where the block is not as the holdings say: [`reconcile`](crate::reconcile::reconcile) it.
pub fn release(read: &Stored, holding: &Holding, busy: u16, me: &Identity) -> Option<Release> {
    let state = match (&read.spec.state, holding.part) {
        (BlockState::Held(held), Part::Whole) if me.holds(held) && holding.closing == WHOLE_MASK => {
            let epoch = next_epoch(&read.spec, me);
            BlockState::Shared(offsets(busy).map(|offset| (offset, me.share(epoch))).collect())
        }
        (BlockState::Shared(all), Part::Singles(mask)) if me.part_of(&read.spec) == holding.part => {
            let go = mask & holding.closing & !busy;
            let mut all = all.clone();
            all.retain(|offset, _| go & offset.bit() == 0);
            BlockState::Shared(all)
        }
        _ => return None,
    };
    let spec = BlockSpec { state, ..read.spec.clone() };
    let (left, withheld) = (me.part_of(&spec), withheld_mask(&spec));
    (spec != read.spec).then(|| Release { write: Write::of(spec, Some(read)), left, withheld })
}

#[cfg(test)]
mod tests;
