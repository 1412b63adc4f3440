//! Where the addresses of an attachment come from, read: ranges of the definition, or pools by name out of their mirrors.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use manifold_address_store::give::{AddressRequest, PoolChoice};
use manifold_address_store::no_address::NoAddress;
use manifold_address_store::obtain::keep_mirror;
use manifold_address_store::{Claims, Store};
use manifold_addresses::lease::Lease;
use manifold_addresses::pool::Pool;
use manifold_cni::{CniError, Route, code};
use manifold_crds::ipam::pool::RouteSpec;
use manifold_crds::ipam::{Domain, PoolName, PoolSpec};
use manifold_crds::nad::NadRef;
use manifold_plugin_conf::cluster_local::{AddressSource, InlineSet, assign, inline_pool_name};
use manifold_plugin_conf::{ClusterLocalConf, RangeSet};

/// One source for each address of the attachment, in the order of its result.
#[derive(Clone, Debug)]
pub struct Sources(Vec<Source>);

#[derive(Clone, Debug)]
struct Source {
    pools: Vec<PoolChoice>,
    /// As the definition wrote them: tells subnet and gateway.
    ranges: Option<RangeSet>,
    /// Of the pool by name.
    routes: Vec<Route>,
}

impl Sources {
    /// Of a configuration. A pool that has no mirror yet is asked for; it has one from then on. `definition` is whose ranges
    /// these are.
    ///
    /// # Errors
    /// If a pool is missing or cannot be used.
    pub fn read(
        conf: &ClusterLocalConf,
        store: &Store,
        definition: Option<&NadRef>,
        mut claims: Option<&mut (dyn Claims + 'static)>,
        deadline: Instant,
    ) -> Result<Self, CniError> {
        let mut number = 0;
        let read = |source: &AddressSource| match source {
            AddressSource::Inline(set) => {
                let first = number;
                number += set.pools.len();
                Ok(inline(set, definition, first))
            }
            AddressSource::Pool(name) => by_name(name, store, claims.as_deref_mut(), deadline),
        };
        conf.sources.iter().map(read).collect::<Result<_, CniError>>().map(Self)
    }

    /// As [`Self::read`], out of mirrors alone; a pool without one is left out.
    pub fn known(conf: &ClusterLocalConf, store: &Store) -> Self {
        let known = |source: &AddressSource| match source {
            AddressSource::Inline(set) => Some(inline(set, None, 0)),
            AddressSource::Pool(name) => {
                let mirror = store.mirror(name).ok()??;
                Some(named(name, Pool::read(&mirror.spec).ok()?, &mirror.spec))
            }
        };
        Self(conf.sources.iter().filter_map(known).collect())
    }

    /// What to give for one attachment.
    ///
    /// # Errors
    /// If an address that is asked for by name can never be given: code 7.
    pub fn requests(&self, requested: &[IpAddr], lease: &Lease) -> Result<Vec<AddressRequest>, CniError> {
        let pools: Vec<Vec<&Pool>> =
            self.0.iter().map(|s| s.pools.iter().map(|c| &c.pool).collect()).collect();
        let by_name = assign(requested, &pools).map_err(CniError::config)?;
        let request = |(source, by_name): (&Source, Option<IpAddr>)| AddressRequest {
            lease: lease.clone(),
            pools: source.pools.clone(),
            by_name,
        };
        Ok(self.0.iter().zip(by_name).map(request).collect())
    }

    /// The pools of each address.
    pub fn pools(&self) -> impl Iterator<Item = &[PoolChoice]> {
        self.0.iter().map(|source| source.pools.as_slice())
    }

    /// Routes of the pools by name.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().flat_map(|source| &source.routes)
    }

    /// The subnet of an address of the nth source, and its gateway.
    pub(super) fn place(&self, n: usize, ip: IpAddr) -> Option<(IpNet, Option<IpAddr>)> {
        let source = self.0.get(n)?;
        if let Some(range) = source.ranges.as_ref().and_then(|ranges| ranges.range_of(ip)) {
            return Some((range.subnet, Some(range.gateway)));
        }
        let pool = source.pools.iter().map(|choice| &choice.pool).find(|pool| pool.subnet.contains(&ip))?;
        Some((pool.subnet, pool.gateway))
    }

    /// Whether an address lies in a subnet of these.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.pools().flatten().any(|choice| choice.pool.check_requested(ip).is_ok())
    }
}

fn inline(set: &InlineSet, definition: Option<&NadRef>, first: usize) -> Source {
    let choice = |(n, pool): (usize, &manifold_plugin_conf::cluster_local::InlinePool)| PoolChoice {
        pool: pool.pool.clone(),
        object: definition.and_then(|definition| inline_pool_name(definition, first + n)),
        is_named: false,
    };
    let pools = set.pools.iter().enumerate().map(choice).collect();
    Source { pools, ranges: Some(set.ranges.clone()), routes: Vec::new() }
}

fn by_name(
    name: &PoolName,
    store: &Store,
    claims: Option<&mut (dyn Claims + 'static)>,
    deadline: Instant,
) -> Result<Source, CniError> {
    if let Some(mirror) = store.mirror(name)? {
        // One that an administrator broke since is told of by the next claim.
        if let Ok(pool) = Pool::read(&mirror.spec) {
            return Ok(named(name, pool, &mirror.spec));
        }
    }
    let claims = claims.ok_or_else(|| unknown(name))?;
    let read = claims.pool(name, deadline).map_err(NoAddress::Api)?;
    let read = read.ok_or_else(|| CniError::from(NoAddress::NoPool(name.to_string())))?;
    let pool = keep_mirror(store, name, &read, deadline)?;
    Ok(named(name, pool, &read.spec))
}

fn unknown(name: &PoolName) -> CniError {
    let msg = format!(
        "AddressPool `{name}` is not known on this node, and there is no cluster to ask; use `host-local` where there is none"
    );
    CniError::new(code::INVALID_CONFIG, msg)
}

fn named(name: &PoolName, pool: Pool, spec: &PoolSpec) -> Source {
    let choice = PoolChoice { pool, object: Some(name.clone()), is_named: true };
    Source { pools: vec![choice], ranges: None, routes: spec.routes.iter().filter_map(route).collect() }
}

fn route(spec: &RouteSpec) -> Option<Route> {
    let value = match &spec.gw {
        None => serde_json::json!({"dst": spec.dst}),
        Some(gw) => serde_json::json!({"dst": spec.dst, "gw": gw}),
    };
    serde_json::from_value(value).ok()
}

/// Does something for the requests of each domain, and puts what comes of it in their order.
pub(super) fn by_domain<E>(
    requests: &[AddressRequest],
    mut of_domain: impl FnMut(&Domain, &[AddressRequest]) -> Result<Vec<IpAddr>, E>,
) -> Result<Vec<IpAddr>, E> {
    let mut domains: BTreeMap<&Domain, Vec<usize>> = BTreeMap::new();
    for (n, request) in requests.iter().enumerate() {
        request.domain().into_iter().for_each(|domain| domains.entry(domain).or_default().push(n));
    }
    let mut found = BTreeMap::new();
    for (domain, numbers) in domains {
        let own: Vec<AddressRequest> = numbers.iter().filter_map(|n| requests.get(*n).cloned()).collect();
        found.extend(numbers.into_iter().zip(of_domain(domain, &own)?));
    }
    Ok(found.into_values().collect())
}
