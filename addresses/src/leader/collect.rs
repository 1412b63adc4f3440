//! What nobody needs any more goes: foreign allocations and withheld addresses whose pods are gone, allocations of claims
//! that were deleted.

use std::collections::BTreeSet;

use manifold_crds::ipam::{Allocation, BlockState};

use super::{Living, Observed};
use crate::api::{Stored, Write};
use crate::moment::Seconds;

/// A pod must be gone in two observations this far apart.
const GONE_FOR_SECONDS: Seconds = 60;

/// What the API server says is there.
#[derive(Clone, Copy, Debug)]
pub struct Gone<'a> {
    /// What living pods show; listed after the block was read.
    pub living: &'a Living,
    /// UIDs of pods that exist. Listed then too.
    pub pods: &'a BTreeSet<String>,
    /// UIDs of IPAMClaims that exist. Listed then too.
    pub claims: &'a BTreeSet<String>,
}

/// Removes from a block what belongs to nobody any more.
pub fn collect(read: &Stored, gone: &Gone<'_>, observed: &mut Observed, now: Seconds) -> Option<Write> {
    let block = read.spec.cidr;
    let mut spec = read.spec.clone();
    let mut is_over = |what: String, is_gone: bool| {
        observed.seconds(block, &what, is_gone, now).is_some_and(|s| s >= GONE_FOR_SECONDS)
    };
    let is_shown = |offset| gone.living.contains_key(&block.address(offset));
    spec.withheld.retain(|offset, held| {
        let what = format!("withheld {offset} {}", held.pod);
        !is_over(what, !is_shown(*offset))
    });
    if let BlockState::Shared(all) = &mut spec.state {
        all.retain(|offset, allocation| match allocation {
            Allocation::Foreign { foreign } => {
                let is_gone = !gone.pods.contains(&foreign.id) && !is_shown(*offset);
                !is_over(format!("foreign {offset} {}", foreign.id), is_gone)
            }
            Allocation::Claim { claim } => gone.claims.contains(&claim.uid),
            Allocation::Node(_) => true,
        });
    }
    (spec != read.spec).then(|| Write::of(spec, Some(read)))
}

/// Whom to look up once more before [`collect`]'s write is sent.
pub fn owners(read: &Stored) -> BTreeSet<&str> {
    let BlockState::Shared(all) = &read.spec.state else { return BTreeSet::new() };
    all.values()
        .filter_map(|allocation| match allocation {
            Allocation::Foreign { foreign } => Some(foreign.id.as_str()),
            Allocation::Claim { claim } => Some(claim.uid.as_str()),
            Allocation::Node(_) => None,
        })
        .collect()
}
