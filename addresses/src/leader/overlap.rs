//! Pools of one domain that share addresses and do not agree on prefix or gateway: each address is given once all the same,
//! but what a pod is told about its network depends on the pool that gave it.

use crate::pool::Pool;

/// A pool with its name.
pub type NamedPool<'a> = (&'a str, &'a Pool);

/// The pools that share addresses with this one and say another prefix or gateway, by name, in order.
pub fn overlapping<'a>(pool: NamedPool<'_>, all: impl Iterator<Item = NamedPool<'a>>) -> Vec<&'a str> {
    let disagrees = |(name, other): &NamedPool<'a>| {
        *name != pool.0
            && other.domain == pool.1.domain
            && (other.subnet, other.gateway) != (pool.1.subnet, pool.1.gateway)
            && share(pool.1, other)
    };
    let mut names: Vec<&str> = all.filter(disagrees).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

fn share(a: &Pool, b: &Pool) -> bool {
    let near = a.subnet.contains(&b.subnet) || b.subnet.contains(&a.subnet);
    let sets =
        [(&a.ordinary, &b.ordinary), (&a.ordinary, &b.fixed), (&a.fixed, &b.ordinary), (&a.fixed, &b.fixed)];
    near && sets.into_iter().any(|(a, b)| a.meets(b))
}

#[cfg(test)]
mod tests {
    use manifold_crds::ipam::{PoolSpec, RangeSpec};

    use super::*;

    fn pool(subnet: &str, gateway: Option<&str>, range: Option<(&str, &str)>, domain: &str) -> Pool {
        let ranges = range.map(|(start, end)| RangeSpec { start: start.into(), end: end.into() });
        let spec = PoolSpec {
            gateway: gateway.map(str::to_owned),
            ranges: Vec::from_iter(ranges),
            domain: domain.parse().unwrap(),
            ..PoolSpec::of_subnet(subnet)
        };
        Pool::read(&spec).unwrap()
    }

    // Shows part of: IPAM-34
    #[test]
    fn pools_that_share_addresses_and_say_another_prefix_or_gateway_are_named() {
        let own = pool("10.1.0.0/16", Some("10.1.0.1"), None, "default");
        let others = [
            ("prefix", pool("10.1.7.0/24", Some("10.1.0.1").filter(|_| false), None, "default")),
            ("gateway", pool("10.1.0.0/16", Some("10.1.0.2"), None, "default")),
            ("same", pool("10.1.0.0/16", Some("10.1.0.1"), Some(("10.1.3.0", "10.1.3.9")), "default")),
            ("domain", pool("10.1.7.0/24", None, None, "other")),
            ("apart", pool("10.2.0.0/16", None, None, "default")),
        ];
        let all = || others.iter().map(|(name, pool)| (*name, pool));
        assert_eq!(overlapping(("own", &own), all()), ["gateway", "prefix"]);
        let half = |start, end| pool("10.1.0.0/16", None, Some((start, end)), "default");
        let (low, high) = (
            half("10.1.0.2", "10.1.0.9"),
            pool("10.1.0.0/24", None, Some(("10.1.0.10", "10.1.0.12")), "default"),
        );
        assert_eq!(
            overlapping(("low", &low), [("high", &high)].into_iter()),
            [""; 0],
            "no address in common"
        );
    }
}
