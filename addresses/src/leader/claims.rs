//! Addresses of IPAMClaims: they go with the claim, and those that the claim does not name go after a minute.

use std::collections::BTreeSet;
use std::net::IpAddr;

use manifold_crds::ipam::{Allocation, BlockState};

use super::lost::foreign;
use super::{Living, Observed};
use crate::api::{Stored, Write};
use crate::moment::Seconds;

/// How long an address may belong to a claim that names others: the ADD that took it may be about to write it there.
const UNNAMED_FOR_SECONDS: Seconds = 60;

/// Takes from a claim that ends, by its UID, what it has of a block. What a living pod shows all the same stays with that
/// pod. `living` was listed after the block was read.
pub fn release_claim(read: &Stored, uid: &str, living: &Living) -> Option<Write> {
    let block = read.spec.cidr;
    let mut spec = read.spec.clone();
    let BlockState::Shared(all) = &mut spec.state else { return None };
    all.retain(|offset, allocation| {
        let Allocation::Claim { claim } = &*allocation else { return true };
        if claim.uid != uid {
            return true;
        }
        let shown = living.get(&block.address(*offset)).and_then(|all| all.first());
        if let Some(shown) = shown {
            *allocation = foreign(shown);
        }
        shown.is_some()
    });
    (spec != read.spec).then(|| Write::of(spec, Some(read)))
}

/// Takes from a claim what its status does not name, where it names others: two ADDs took addresses for it at once, and one
/// of them was killed. `living` was listed after the block was read.
pub fn drop_unnamed(
    read: &Stored,
    uid: &str,
    named: &BTreeSet<IpAddr>,
    living: &Living,
    observed: &mut Observed,
    now: Seconds,
) -> Option<Write> {
    let block = read.spec.cidr;
    let mut spec = read.spec.clone();
    let BlockState::Shared(all) = &mut spec.state else { return None };
    all.retain(|offset, allocation| {
        let ip = block.address(*offset);
        let of_claim = matches!(allocation, Allocation::Claim { claim } if claim.uid == uid);
        let unnamed = of_claim && !named.is_empty() && !named.contains(&ip) && !living.contains_key(&ip);
        let unnamed_for = observed.seconds(block, &format!("unnamed {offset} {uid}"), unnamed, now);
        unnamed_for.is_none_or(|seconds| seconds < UNNAMED_FOR_SECONDS)
    });
    (spec != read.spec).then(|| Write::of(spec, Some(read)))
}
