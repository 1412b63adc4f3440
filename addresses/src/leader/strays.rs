//! Strays: a living pod shows an address that nobody has for it. It is kept from everybody else.

use manifold_crds::ipam::{Allocation, BlockCidr, BlockSpec, BlockState, Domain, Offset, Withheld};

use super::lost::foreign;
use super::{Living, Shown};
use crate::api::{Stored, Write};

/// What to write into a block so that what living pods show in it is nobody else's: as a foreign allocation where the
/// address is free, else withheld from who has it.
pub fn strays(domain: &Domain, block: BlockCidr, read: Option<&Stored>, living: &Living) -> Option<Write> {
    let empty = || BlockSpec {
        domain: domain.clone(),
        cidr: block,
        withheld: Default::default(),
        state: BlockState::Shared(Default::default()),
    };
    let before = read.map_or_else(empty, |r| r.spec.clone());
    let mut spec = before.clone();
    for offset in Offset::all() {
        let shown = living.get(&block.address(offset)).map_or(&[][..], Vec::as_slice);
        if let Some(stray) = shown.iter().find(|shown| !has_it(&before, offset, shown)) {
            keep(&mut spec, offset, stray);
        }
    }
    (spec != before).then(|| Write::of(spec, read))
}

fn has_it(spec: &BlockSpec, offset: Offset, shown: &Shown) -> bool {
    let on = |uid| shown.node.as_ref() == Some(uid);
    let by_state = match &spec.state {
        BlockState::Held(held) => on(&held.holder.uid),
        BlockState::Shared(all) => match all.get(&offset) {
            Some(Allocation::Node(share)) => on(&share.uid),
            Some(Allocation::Foreign { foreign }) => foreign.id == shown.uid,
            // An address of a claim goes from pod to pod.
            Some(Allocation::Claim { .. }) => true,
            None => false,
        },
    };
    by_state || spec.withheld.contains_key(&offset)
}

fn keep(spec: &mut BlockSpec, offset: Offset, stray: &Shown) {
    if let BlockState::Shared(all) = &mut spec.state
        && !all.contains_key(&offset)
    {
        all.insert(offset, foreign(stray));
        return;
    }
    spec.withheld.insert(offset, Withheld { pod: stray.pod.clone() });
}

/// The addresses of a block that two living pods or more show, with these pods. The address of a claim goes from pod to pod, so
/// two of them may show it.
pub fn duplicates(read: Option<&Stored>, block: BlockCidr, living: &Living) -> Living {
    let of_claim = |ip: &std::net::IpAddr| match read.map(|stored| &stored.spec.state) {
        Some(BlockState::Shared(all)) => {
            matches!(all.get(&BlockCidr::offset_of(*ip)), Some(Allocation::Claim { .. }))
        }
        _ => false,
    };
    let twice =
        living.iter().filter(|(ip, shown)| BlockCidr::of(**ip) == block && shown.len() > 1 && !of_claim(ip));
    twice.map(|(ip, shown)| (*ip, shown.clone())).collect()
}
