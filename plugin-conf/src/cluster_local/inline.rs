//! Ranges of a definition as pools: those of one subnet and gateway are one.

use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Domain, PoolSpec, RangeSpec};

use super::Exclusion;
use crate::ip_range::{IpRange, RangeSet};
use crate::problem::Problem;

/// A range set of a definition: one address comes from any of its pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineSet {
    /// As written: tells subnet and gateway of each address.
    pub ranges: RangeSet,
    /// Never empty. They are tried in this order.
    pub pools: Vec<InlinePool>,
}

/// The ranges of one subnet and gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinePool {
    /// As the AddressPool that shows it says it.
    pub spec: PoolSpec,
    /// The same, read.
    pub pool: Pool,
}

impl InlineSet {
    pub(super) fn read(
        domain: &Domain,
        exclude: &[Exclusion],
        place: &str,
        ranges: RangeSet,
    ) -> Result<Self, Problem> {
        let mut specs: Vec<(&IpRange, PoolSpec)> = Vec::new();
        for range in ranges.ranges() {
            let same = |(first, _): &&mut (&IpRange, PoolSpec)| {
                (first.subnet, first.gateway) == (range.subnet, range.gateway)
            };
            match specs.iter_mut().find(same) {
                Some((_, spec)) => spec.ranges.push(written(range)),
                None => specs.push((range, spec(domain, exclude, range))),
            }
        }
        let read = |(_, spec): (_, PoolSpec)| Pool::read(&spec).map(|pool| InlinePool { spec, pool });
        // A pool that is excluded as a whole is no fault while the set has another.
        let (pools, problems): (Vec<_>, Vec<_>) = specs.into_iter().map(read).partition(Result::is_ok);
        let pools: Vec<InlinePool> = pools.into_iter().flatten().collect();
        match problems.into_iter().find_map(Result::err) {
            Some(problem) if pools.is_empty() => {
                Err(nothing_left(exclude, place, &ranges, &problem.sentence))
            }
            _ => Ok(Self { ranges, pools }),
        }
    }
}

fn nothing_left(exclude: &[Exclusion], place: &str, ranges: &RangeSet, why: &str) -> Problem {
    if exclude.iter().any(|exclusion| exclusion.touches(ranges)) {
        let why = format!("`exclude` leaves no address of `{ranges}` to give; shorten it or widen the range");
        return Problem::new("/ipam/exclude", why);
    }
    Problem::new(place, format!("of `{ranges}` {why}"))
}

fn spec(domain: &Domain, exclude: &[Exclusion], range: &IpRange) -> PoolSpec {
    let of_family =
        exclude.iter().map(|exclusion| exclusion.net).filter(|net| net.addr().is_ipv4() == range.is_ipv4());
    PoolSpec {
        domain: domain.clone(),
        ranges: vec![written(range)],
        exclude: of_family.map(|net| net.to_string()).collect(),
        // One that lies elsewhere, as some routers do, is no address of the pool.
        gateway: Some(range.gateway).filter(|ip| range.subnet.contains(ip)).map(|ip| ip.to_string()),
        ..PoolSpec::of_subnet(range.subnet.to_string())
    }
}

fn written(range: &IpRange) -> RangeSpec {
    RangeSpec { start: range.start.to_string(), end: range.end.to_string() }
}
