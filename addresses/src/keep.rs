//! Addresses that an IPAMClaim keeps: allocated to the claim itself, so that they stay whatever pods and nodes do.
//!
//! They are never part of a node's holdings. Who was killed between the allocation and the claim's status leaves an allocation
//! that the leader completes or frees; whoever comes next for the same claim finds it, as a claim always begins at the same
//! block ([`ClaimChance`]).

use std::collections::BTreeMap;

use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Claim, Offset};

use crate::api::{Stored, Write, allocated_mask, withheld_mask};
use crate::claim::Chance;
use crate::holdings::offsets;
use crate::pool::Pool;

/// What to do with a block so that a claim has an address of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Send this; if it is applied, the claim has this address.
    Send(Write, Offset),
    /// The claim has it already.
    Has(Offset),
    /// Nothing of it can be had.
    Skip,
}

/// What to do with a block, by what was read of it. `by_name`: exactly this address.
pub fn keep(
    block: BlockCidr,
    read: Option<&Stored>,
    by_name: Option<Offset>,
    pool: &Pool,
    claim: &Claim,
) -> Keep {
    let wanted = match by_name {
        Some(offset) if pool.check_requested(block.address(offset)).is_ok() => offset.bit(),
        Some(_) => 0,
        None => pool.ordinary.mask(block),
    };
    let all = match read.map(|stored| &stored.spec.state) {
        None => BTreeMap::new(),
        Some(BlockState::Held(_)) => return Keep::Skip,
        Some(BlockState::Shared(all)) => all.clone(),
    };
    let is_its =
        |allocation: &Allocation| matches!(allocation, Allocation::Claim { claim: c } if c.uid == claim.uid);
    let own = all.iter().find(|(offset, a)| wanted & offset.bit() != 0 && is_its(a));
    if let Some((offset, _)) = own {
        return Keep::Has(*offset);
    }
    let taken = read.map_or(0, |stored| allocated_mask(&stored.spec) | withheld_mask(&stored.spec));
    let Some(offset) = offsets(wanted & !taken).next() else { return Keep::Skip };
    let mut all = all;
    all.insert(offset, Allocation::Claim { claim: claim.clone() });
    let withheld = read.map(|stored| stored.spec.withheld.clone()).unwrap_or_default();
    let spec =
        BlockSpec { domain: pool.domain.clone(), cidr: block, withheld, state: BlockState::Shared(all) };
    Keep::Send(Write::of(spec, read), offset)
}

/// The same numbers for the same claim each time, and others for another claim.
#[derive(Clone, Debug)]
pub struct ClaimChance(u64);

impl ClaimChance {
    /// Of a claim, by its UID.
    pub fn of(claim: &Claim) -> Self {
        Self(u64::from(crc32fast::hash(claim.uid.as_bytes())) | 1 << 40)
    }
}

impl Chance for ClaimChance {
    fn below(&mut self, end: u128) -> u128 {
        // Steps of xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u128::from(self.0) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use manifold_crds::ipam::{PoolSpec, RangeSpec};

    use super::*;
    use crate::api::ResourceVersion;

    fn claim(name: &str) -> Claim {
        Claim { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}") }
    }

    fn pool() -> Pool {
        let ranges = vec![RangeSpec { start: "10.1.7.17".into(), end: "10.1.7.18".into() }];
        Pool::read(&PoolSpec { ranges, ..PoolSpec::of_subnet("10.1.0.0/16") }).unwrap()
    }

    fn stored(write: &Write) -> Stored {
        let (Write::Create(spec) | Write::Replace { spec, .. }) = write else { panic!() };
        Stored { spec: spec.clone(), version: ResourceVersion("1".into()), uid: "1".into() }
    }

    // Shows part of: IPAM-52, IPAM-53
    #[test]
    fn each_claim_has_one_address_and_finds_it_again() {
        let block: BlockCidr = "10.1.7.16".parse().unwrap();
        let Keep::Send(first, a) = keep(block, None, None, &pool(), &claim("a")) else { panic!() };
        let read = stored(&first);
        assert_eq!(keep(block, Some(&read), None, &pool(), &claim("a")), Keep::Has(a));
        let Keep::Send(second, b) = keep(block, Some(&read), None, &pool(), &claim("b")) else { panic!() };
        assert_ne!(a, b);
        let full = stored(&second);
        assert_eq!(keep(block, Some(&full), None, &pool(), &claim("c")), Keep::Skip);
        assert_eq!(keep(block, Some(&full), Some(a), &pool(), &claim("b")), Keep::Skip);
        assert_eq!(keep(block, Some(&full), Some(a), &pool(), &claim("a")), Keep::Has(a));
        let outside = Offset::new(9);
        assert_eq!(keep(block, Some(&full), outside, &pool(), &claim("c")), Keep::Skip);
    }

    #[test]
    fn a_claim_begins_at_the_same_block_each_time() {
        let numbers = |name| {
            let mut chance = ClaimChance::of(&claim(name));
            [chance.below(1 << 20), chance.below(1 << 20), chance.below(7)]
        };
        assert_eq!(numbers("a"), numbers("a"));
        assert_ne!(numbers("a"), numbers("b"));
    }
}
