//! Gives what the node holds: addresses and their leases, under the domain's lock. Opens no connection.

use std::net::IpAddr;
use std::time::Instant;

use manifold_addresses::api::Identity;
use manifold_addresses::give::{Requested, Shortage, next_address, requested};
use manifold_addresses::lease::Lease;
use manifold_addresses::pool::{NeverGiven, Pool};
use manifold_crds::ipam::{BlockCidr, Domain, PoolName};

use crate::leases::Found;
use crate::{DomainFolder, Locked, Store, StoreError, clock};

/// One address of one interface: from any of these pools, tried in order.
#[derive(Clone, Debug)]
pub struct AddressRequest {
    /// Whose it will be.
    pub lease: Lease,
    /// All of one domain; never empty.
    pub pools: Vec<PoolChoice>,
    /// Exactly this address.
    pub by_name: Option<IpAddr>,
}

/// A pool, and the AddressPool that tells where it has room.
#[derive(Clone, Debug)]
pub struct PoolChoice {
    /// What may be given.
    pub pool: Pool,
    /// The object's name, where the pool has one that is known.
    pub object: Option<PoolName>,
    /// Whether the object is the pool, or only shows the ranges of a definition.
    pub is_named: bool,
}

impl PoolChoice {
    /// How people know it.
    pub fn display(&self) -> String {
        match &self.object {
            Some(name) => format!("pool `{name}`"),
            None => format!("pool `{}`", self.pool.subnet),
        }
    }
}

impl AddressRequest {
    /// In which its address is given once.
    pub fn domain(&self) -> Option<&Domain> {
        self.pools.first().map(|choice| &choice.pool.domain)
    }
}

/// What came of the requests of one domain: an address for each, or what stands in the way of the first that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// In the order of the requests.
    pub addresses: Vec<Option<IpAddr>>,
    /// Nothing where all have one.
    pub missing: Option<Missing>,
}

/// Why a request has no address yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing of these pools is free here.
    Short {
        /// The number of the request.
        request: usize,
        /// By pool, in order.
        shortages: Vec<Shortage>,
    },
    /// The address that was asked for by name is not held: claim it.
    Claim {
        /// The number of the request.
        request: usize,
        /// Where the address lies.
        block: BlockCidr,
    },
    /// The address that was asked for by name has a lease.
    Taken {
        /// The number of the request.
        request: usize,
        /// Whose.
        by: Option<Lease>,
    },
    /// It can never be given.
    Never {
        /// The number of the request.
        request: usize,
        /// Why.
        why: NeverGiven,
    },
}

/// Gives what is held. What an earlier call made for the same request counts. On an error no new lease is left.
///
/// # Errors
/// If the disk refuses, or the lock is not free until the deadline.
pub fn give_held(
    folder: &DomainFolder,
    me: &Identity,
    requests: &[AddressRequest],
    deadline: Instant,
) -> Result<Given, StoreError> {
    let locked = folder.lock(deadline)?;
    let mut made = Vec::new();
    give(&locked, me, requests, &mut made).inspect_err(|_| {
        if let Ok(now) = clock::now() {
            made.iter().for_each(|found| drop(locked.remove_lease(found, &now)));
        }
    })
}

fn give(
    locked: &Locked<'_>,
    me: &Identity,
    requests: &[AddressRequest],
    made: &mut Vec<Found>,
) -> Result<Given, StoreError> {
    let (now, holdings, found) = (clock::now()?, locked.holdings(me)?, locked.found()?);
    let mut leases = locked.leases(&now)?;
    let mut used: Vec<usize> = Vec::new();
    let mut given = Given { addresses: vec![None; requests.len()], missing: None };
    for (n, request) in requests.iter().enumerate() {
        let mine = |(at, f): &(usize, &Found)| {
            !used.contains(at) && f.lease.as_ref() == Some(&request.lease) && request.can_be(f.ip)
        };
        if let Some((at, earlier)) = found.iter().enumerate().find(mine) {
            used.push(at);
            if let Some(slot) = given.addresses.get_mut(n) {
                *slot = Some(earlier.ip);
            }
            continue;
        }
        let choice = choose(request, &holdings, &leases, &now);
        match choice {
            Ok(ip) if locked.add_lease(ip, &request.lease)? => {
                leases.take(ip);
                leases.set_last(ip);
                made.push(Found::made(ip, request.lease.clone()));
                if let Some(slot) = given.addresses.get_mut(n) {
                    *slot = Some(ip);
                }
            }
            // Not listed, and there all the same: no lease, but nothing to give either.
            Ok(_) => note(&mut given, Missing::Short { request: n, shortages: Vec::new() }),
            Err(why) => {
                let by = |ip| found.iter().find(|f| Some(f.ip) == ip).and_then(|f| f.lease.clone());
                note(&mut given, why.of(n, by(request.by_name)));
            }
        }
    }
    Ok(given)
}

fn note(given: &mut Given, missing: Missing) {
    given.missing.get_or_insert(missing);
}

enum Not {
    Short(Vec<Shortage>),
    Claim(BlockCidr),
    Taken,
    Never(NeverGiven),
}

impl Not {
    fn of(self, request: usize, by: Option<Lease>) -> Missing {
        match self {
            Self::Short(shortages) => Missing::Short { request, shortages },
            Self::Claim(block) => Missing::Claim { request, block },
            Self::Taken => Missing::Taken { request, by },
            Self::Never(why) => Missing::Never { request, why },
        }
    }
}

fn choose(
    request: &AddressRequest,
    holdings: &manifold_addresses::holdings::Holdings,
    leases: &manifold_addresses::lease::Leases,
    now: &manifold_addresses::moment::Moment,
) -> Result<IpAddr, Not> {
    let Some(ip) = request.by_name else {
        let mut shortages = Vec::new();
        for choice in &request.pools {
            match next_address(&choice.pool, holdings, leases, now) {
                Ok(ip) => return Ok(ip),
                Err(shortage) => shortages.push(shortage),
            }
        }
        return Err(Not::Short(shortages));
    };
    let mut never = NeverGiven::Outside;
    for choice in &request.pools {
        match requested(&choice.pool, ip, holdings, leases, now) {
            Requested::Give => return Ok(ip),
            Requested::Taken => return Err(Not::Taken),
            Requested::Claim(block) => return Err(Not::Claim(block)),
            Requested::Refuse(NeverGiven::Outside) => {}
            Requested::Refuse(why) => never = why,
        }
    }
    Err(Not::Never(never))
}

impl AddressRequest {
    /// Whether an address can be what an earlier call made for it.
    fn can_be(&self, ip: IpAddr) -> bool {
        let of_pool = |choice: &PoolChoice| choice.pool.check_requested(ip).is_ok();
        self.by_name.map_or_else(|| self.pools.iter().any(of_pool), |name| name == ip)
    }
}

/// Removes the leases that these requests have: nothing was attached with them.
///
/// # Errors
/// If one cannot be removed; the others are all the same.
pub fn take_back(store: &Store, requests: &[AddressRequest], deadline: Instant) -> Result<(), StoreError> {
    let mut domains: Vec<&Domain> = requests.iter().filter_map(AddressRequest::domain).collect();
    domains.sort();
    domains.dedup();
    let mut first = Ok(());
    for domain in domains {
        let of_domain =
            |lease: &Lease| requests.iter().any(|r| r.domain() == Some(domain) && r.lease == *lease);
        let done = remove_leases(&store.domain(domain), &of_domain, deadline);
        first = first.and(done.map(drop));
    }
    first
}

/// Removes the leases that `is_meant` says, and tells how many. Whether there is any is looked up before the lock is taken: who
/// finds none needs neither a lock nor a disk that can be written.
///
/// # Errors
/// If one cannot be removed; the others are all the same.
pub fn remove_leases(
    folder: &DomainFolder,
    is_meant: &dyn Fn(&Lease) -> bool,
    deadline: Instant,
) -> Result<usize, StoreError> {
    let meant = |found: &Found| found.lease.as_ref().is_some_and(is_meant);
    if !folder.found()?.iter().any(meant) {
        return Ok(0);
    }
    let (locked, now) = (folder.lock(deadline)?, clock::now()?);
    let all: Vec<Found> = locked.found()?.into_iter().filter(meant).collect();
    let mut first = Ok(all.len());
    for found in &all {
        if let Err(error) = locked.remove_lease(found, &now) {
            first = first.and(Err(error));
        }
    }
    first
}
