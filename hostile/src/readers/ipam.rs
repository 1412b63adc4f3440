//! The objects of cluster-wide addresses: `spec` of an AddressBlock, or of an AddressPool.

use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockCidr, BlockSpec, PoolSpec};

use super::text;
use crate::Answer;

/// A block where it has `start`, else a pool.
pub(super) fn object(input: &[u8]) -> Answer {
    let refused = |why: serde_json::Error| Answer::refused(manifold_cni::json::BadJson::from(why));
    let is_block = manifold_cni::RawObject::parse(input).is_ok_and(|object| object.contains("start"));
    if is_block {
        return serde_json::from_slice(input).map_or_else(refused, |spec| block(&spec));
    }
    serde_json::from_slice(input).map_or_else(refused, |spec| pool(&spec))
}

fn block(spec: &BlockSpec) -> Answer {
    let printed = serde_json::to_vec(spec).expect("a block is JSON");
    assert_eq!(serde_json::from_slice::<BlockSpec>(&printed).ok().as_ref(), Some(spec), "{}", text(&printed));
    let name = spec.object_name();
    assert_eq!(BlockCidr::parse_object_name(&name), Ok((spec.domain.clone(), spec.cidr)));
    assert_eq!(spec.labels().len(), spec.nodes().len() + 1);
    Answer::Accepted(format!("{name} {}", text(&printed)))
}

fn pool(spec: &PoolSpec) -> Answer {
    let printed = serde_json::to_vec(spec).expect("a pool is JSON");
    assert_eq!(serde_json::from_slice::<PoolSpec>(&printed).ok().as_ref(), Some(spec), "{}", text(&printed));
    match Pool::read(spec) {
        Err(problem) => Answer::refused(problem),
        Ok(pool) => {
            assert_sound(&pool);
            let (ordinary, fixed) = (pool.ordinary.count(), pool.fixed.count());
            Answer::Accepted(format!("{} with {ordinary} ordinary and {fixed} fixed", pool.subnet))
        }
    }
}

/// Nothing outside the subnet, nothing in both sets, never the gateway or the subnet's own address.
fn assert_sound(pool: &Pool) {
    assert!(!(pool.ordinary.is_empty() && pool.fixed.is_empty()));
    for never in pool.gateway.into_iter().chain([pool.subnet.network()]) {
        assert!(pool.check_requested(never).is_err(), "{never} of {pool:?}");
    }
    if pool.subnet.addr().is_ipv4() {
        assert!(pool.check_requested(pool.subnet.broadcast()).is_err(), "{pool:?}");
    }
    let mut fixed = pool.fixed.clone();
    fixed.remove_all(&pool.ordinary);
    assert_eq!(fixed, pool.fixed, "an address is ordinary and fixed");
    for set in [&pool.ordinary, &pool.fixed] {
        if let Some(block) = set.nth_block(0) {
            assert_ne!(set.mask(block), 0);
        }
        let bits = u32::from(pool.subnet.max_prefix_len() - pool.subnet.prefix_len());
        assert!(1_u128.checked_shl(bits).is_none_or(|all| set.count() <= all));
    }
}
