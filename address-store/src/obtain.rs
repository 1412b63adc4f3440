//! Addresses for a whole pod: what is held first, then claims for all that is missing, domain by domain.
//!
//! Three rounds, about a second apart. No lock is held between two rounds: who finds a pool full holds up nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use manifold_addresses::api::Identity;
use manifold_addresses::claim::{
    CHANCE_TRIES, Hints, Search, Want, blocks_to_claim, candidates, mode, room_on_node, want,
};
use manifold_addresses::give::Shortage;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockCidr, Domain, Mode, NodeName, PoolName};

use crate::chance::SystemChance;
use crate::give::{AddressRequest, Given, Missing, PoolChoice, give_held};
use crate::mirror::Mirror;
use crate::no_address::{Full, NoAddress, block_holder, lease_holder};
use crate::session::{Claim, Outcome, Session};
use crate::{BlockApi, DomainFolder, PoolObject, Store, clock, give};

const ROUNDS: usize = 3;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(900);

/// An address for each request, in order. On an error none of them has a lease.
///
/// # Errors
/// Why there is none, in one sentence with what to do.
pub async fn obtain<A: BlockApi>(
    store: &Store,
    me: &Identity,
    api: &A,
    requests: &[AddressRequest],
    deadline: Instant,
) -> Result<Vec<IpAddr>, NoAddress> {
    let done = all_domains(store, me, api, requests, deadline).await;
    if done.is_err() {
        // What cannot be removed now goes with the DEL of the sandbox.
        let _ = give::take_back(store, requests, deadline.max(Instant::now() + BETWEEN_ROUNDS));
    }
    done
}

async fn all_domains<A: BlockApi>(
    store: &Store,
    me: &Identity,
    api: &A,
    requests: &[AddressRequest],
    deadline: Instant,
) -> Result<Vec<IpAddr>, NoAddress> {
    let mut by_domain: BTreeMap<&Domain, Vec<usize>> = BTreeMap::new();
    for (n, request) in requests.iter().enumerate() {
        request.domain().into_iter().for_each(|domain| by_domain.entry(domain).or_default().push(n));
    }
    let mut found: BTreeMap<usize, IpAddr> = BTreeMap::new();
    for (domain, numbers) in by_domain {
        let of_domain = numbers.iter().filter_map(|n| requests.get(*n).cloned()).collect();
        let folder = store.domain(domain);
        let mut walk =
            Walk { store, me, api, folder: &folder, requests: of_domain, deadline, read: BTreeMap::new() };
        found.extend(numbers.iter().copied().zip(walk.run().await?));
    }
    Ok(found.into_values().collect())
}

/// The walk through one domain.
struct Walk<'a, A> {
    store: &'a Store,
    me: &'a Identity,
    api: &'a A,
    folder: &'a DomainFolder,
    requests: Vec<AddressRequest>,
    deadline: Instant,
    /// Each AddressPool is read once.
    read: BTreeMap<PoolName, Option<PoolObject>>,
}

impl<A: BlockApi> Walk<'_, A> {
    async fn run(&mut self) -> Result<Vec<IpAddr>, NoAddress> {
        let mut given = self.give()?;
        for round in 0..ROUNDS {
            if given.missing.is_none() {
                break;
            }
            if round > 0 {
                let left = self.deadline.saturating_duration_since(Instant::now());
                if left <= BETWEEN_ROUNDS {
                    break;
                }
                self.api.pause(BETWEEN_ROUNDS).await;
            }
            given = self.round(round).await?;
        }
        match given.missing {
            None => Ok(given.addresses.into_iter().flatten().collect()),
            Some(missing) => Err(self.full(&missing, &BTreeSet::new())),
        }
    }

    fn give(&self) -> Result<Given, NoAddress> {
        Ok(give_held(self.folder, self.me, &self.requests, self.deadline)?)
    }

    /// One turn with the claiming lock: others may have claimed enough meanwhile.
    async fn round(&mut self, round: usize) -> Result<Given, NoAddress> {
        let search = if round == 0 { Search::Some } else { Search::Every };
        let claiming = self.folder.claiming(self.deadline)?;
        let session = Session::new(self.api, self.folder, self.me, claiming, self.deadline);
        session.settle().await?;
        let mut holders = BTreeSet::new();
        // Once for what must be confirmed first, once for the claim, once for what a claim by name uncovered.
        for _ in 0..3 {
            let given = self.give()?;
            let Some(missing) = given.missing.clone() else { return Ok(given) };
            if !self.more(&session, &given, &missing, search, &mut holders).await? {
                break;
            }
        }
        let given = self.give()?;
        match &given.missing {
            None => self.folder.forget_short(),
            Some(missing) if round + 1 == ROUNDS => return Err(self.full(missing, &holders)),
            Some(_) => {}
        }
        Ok(given)
    }

    /// Whether anything came of it.
    async fn more(
        &mut self,
        session: &Session<'_, A>,
        given: &Given,
        missing: &Missing,
        search: Search,
        holders: &mut BTreeSet<NodeName>,
    ) -> Result<bool, NoAddress> {
        match missing {
            Missing::Never { request, why } => Err(NoAddress::Never { ip: self.ip(*request), why: *why }),
            Missing::Taken { request, by } => {
                Err(NoAddress::Taken { ip: self.ip(*request), by: lease_holder(by.as_ref()) })
            }
            Missing::Claim { request, block } => {
                self.by_name(session, self.ip(*request), *block, *request).await
            }
            Missing::Short { shortages, .. } if shortages.iter().any(|s| s.unconfirmed > 0) => {
                self.confirm(session).await
            }
            Missing::Short { .. } => self.claim(session, given, search, holders).await,
        }
    }

    fn ip(&self, request: usize) -> IpAddr {
        let named = self.requests.get(request).and_then(|r| r.by_name);
        named.unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }

    /// Before what an earlier boot held is used, each block of it is read once.
    async fn confirm(&self, session: &Session<'_, A>) -> Result<bool, NoAddress> {
        let now = clock::now()?;
        let stale: Vec<BlockCidr> = session.lock_for(|holdings| {
            holdings.iter().filter(|(_, h)| !h.is_confirmed(&now)).map(|(block, _)| block).collect()
        })?;
        for block in stale {
            session.reconcile(block).await?;
        }
        Ok(true)
    }

    async fn by_name(
        &mut self,
        session: &Session<'_, A>,
        ip: IpAddr,
        block: BlockCidr,
        request: usize,
    ) -> Result<bool, NoAddress> {
        let now = clock::now()?;
        if session.lock_for(|h| h.get(block).is_some_and(|h| !h.is_confirmed(&now)))? {
            session.reconcile(block).await?;
            return Ok(true);
        }
        let offset = BlockCidr::offset_of(ip);
        let pools = self.requests.get(request).map(|r| r.pools.clone()).unwrap_or_default();
        let Some(choice) = pools.iter().find(|choice| choice.pool.check_requested(ip).is_ok()) else {
            return Ok(false);
        };
        let claim =
            Claim { pool: &choice.pool, want: Want::Exactly(offset), reads_first: true, only_new: false };
        match session.claim(block, &claim).await? {
            Outcome::Done { .. } => Ok(true),
            Outcome::Contended => Ok(false),
            Outcome::Skipped { .. } => {
                let read = self.api.block(self.folder.name(), block).await?;
                let by = read.map_or_else(
                    || "another node was faster; the runtime tries again".to_owned(),
                    |stored| block_holder(&stored.spec, offset),
                );
                Err(NoAddress::Taken { ip, by })
            }
        }
    }

    /// For all that is missing at once.
    async fn claim(
        &mut self,
        session: &Session<'_, A>,
        given: &Given,
        search: Search,
        holders: &mut BTreeSet<NodeName>,
    ) -> Result<bool, NoAddress> {
        let mut gained = false;
        let lacking = |n: &usize| given.addresses.get(*n).is_some_and(Option::is_none);
        let mut left: Vec<usize> = (0..self.requests.len()).filter(lacking).collect();
        while let Some(first) = left.first().copied() {
            let pools = self.pools_of(first);
            let (same, others): (Vec<usize>, Vec<usize>) =
                left.into_iter().partition(|n| self.pools_of(*n) == pools);
            left = others;
            let mut missing = u32::try_from(same.len()).unwrap_or(u32::MAX);
            for place in 0..pools.len() {
                let Some(choice) = self.fresh(&same, place).await? else { continue };
                let hints = self.hints(&choice);
                let got = claim_of(session, (&choice, &hints, search), missing, holders).await?;
                gained |= got > 0;
                missing = missing.saturating_sub(got);
                if missing == 0 {
                    break;
                }
            }
        }
        Ok(gained)
    }

    fn pools_of(&self, request: usize) -> Vec<(Option<PoolName>, Pool)> {
        let pools = self.requests.get(request).map(|r| r.pools.as_slice()).unwrap_or_default();
        pools.iter().map(|choice| (choice.object.clone(), choice.pool.clone())).collect()
    }

    /// The pool as the API server has it now, for all these requests; a mirror may be old.
    async fn fresh(&mut self, requests: &[usize], place: usize) -> Result<Option<PoolChoice>, NoAddress> {
        let first = requests.first().and_then(|n| self.requests.get(*n));
        let Some(mut choice) = first.and_then(|r| r.pools.get(place)).cloned() else { return Ok(None) };
        let Some(name) = choice.object.clone() else { return Ok(Some(choice)) };
        // A few blocks are found without hints.
        if !choice.is_named && choice.pool.ordinary.blocks() <= CHANCE_TRIES as u128 {
            return Ok(Some(choice));
        }
        if !self.read.contains_key(&name) {
            let read = self.api.pool(&name).await?;
            self.read.insert(name.clone(), read);
        }
        if !choice.is_named {
            return Ok(Some(choice));
        }
        let read =
            self.read.get(&name).cloned().flatten().ok_or_else(|| NoAddress::NoPool(name.to_string()))?;
        choice.pool = keep_mirror(self.store, &name, &read, self.deadline)?;
        for n in requests {
            if let Some(slot) = self.requests.get_mut(*n).and_then(|r| r.pools.get_mut(place)) {
                *slot = choice.clone();
            }
        }
        if choice.pool.paused {
            return Err(NoAddress::Paused(choice.display()));
        }
        Ok(Some(choice))
    }

    fn hints(&self, choice: &PoolChoice) -> Hints {
        let read = choice.object.as_ref().and_then(|name| self.read.get(name)).and_then(Option::as_ref);
        read.map(PoolObject::hints).unwrap_or_default()
    }

    /// The sentence, and a note for STATUS.
    fn full(&self, missing: &Missing, holders: &BTreeSet<NodeName>) -> NoAddress {
        if let Ok(now) = clock::now() {
            self.folder.note_short(&now);
        }
        let (request, shortages) = match missing {
            Missing::Short { request, shortages } => (*request, shortages.as_slice()),
            Missing::Claim { request, .. }
            | Missing::Taken { request, .. }
            | Missing::Never { request, .. } => {
                let by = "another node was faster each time; the runtime tries again".to_owned();
                return NoAddress::Taken { ip: self.ip(*request), by };
            }
        };
        let pools = self.requests.get(request).map(|r| r.pools.as_slice()).unwrap_or_default();
        let shortage = |n: usize| shortages.get(n).copied().unwrap_or_default();
        if let Some((_, choice)) = pools.iter().enumerate().find(|(n, _)| shortage(*n).paused) {
            return NoAddress::Paused(choice.display());
        }
        let Some((n, choice)) = pools.iter().enumerate().next_back() else {
            return NoAddress::NoPool("none".to_owned());
        };
        let room = self.folder.look().ok().flatten().map(|holdings| room_on_node(&choice.pool, &holdings));
        if room == Some(0) && shortage(n).cooling == 0 {
            return NoAddress::MostPerNode { pool: choice.display(), most: choice.pool.max_per_node };
        }
        let read = choice.object.as_ref().and_then(|name| self.read.get(name)).and_then(Option::as_ref);
        let idle = read.map(|object| object.status.idle);
        NoAddress::Full(Full::of(choice, &shortage(n), idle, holders.clone()))
    }
}

/// Claims of one pool until so many addresses of it are free here; says how many are.
async fn claim_of<A: BlockApi>(
    session: &Session<'_, A>,
    (choice, hints, search): (&PoolChoice, &Hints, Search),
    missing: u32,
    holders: &mut BTreeSet<NodeName>,
) -> Result<u32, NoAddress> {
    let pool = &choice.pool;
    let mode = mode(pool, hints);
    let (candidates, room, held) = session.lock_for(|holdings| {
        let candidates = candidates(pool, mode, hints, holdings, search, &mut SystemChance);
        let held = holdings.iter().filter(|(block, _)| pool.ordinary.mask(*block) != 0).count();
        (candidates, room_on_node(pool, holdings), held)
    })?;
    if room == 0 {
        return Ok(0);
    }
    let at_once = if mode == Mode::Blocks { blocks_to_claim(missing, held) } else { 1 };
    let mut left = candidates.into_iter();
    let mut free = 0;
    loop {
        let batch: Vec<BlockCidr> = left.by_ref().take(if free == 0 { at_once } else { 1 }).collect();
        if batch.is_empty() {
            return Ok(free);
        }
        let want = want(mode, missing.saturating_sub(free), room.saturating_sub(free));
        let claim = |block: &BlockCidr| {
            let reads_first = mode == Mode::Singles && !hints.next.contains(block);
            Claim { pool, want, reads_first, only_new: false }
        };
        let claims: Vec<_> = batch.iter().map(|block| (*block, claim(block))).collect();
        for outcome in join_all(claims.iter().map(|(block, claim)| session.claim(*block, claim))).await {
            if let Outcome::Skipped { held_by } = outcome? {
                holders.extend(held_by);
            }
        }
        free = free_of(session, pool)?;
        if free >= missing {
            return Ok(free);
        }
    }
}

/// How many addresses of a pool could be given now.
fn free_of<A: BlockApi>(session: &Session<'_, A>, pool: &Pool) -> Result<u32, NoAddress> {
    let locked = session.folder.lock(session.deadline)?;
    let now = clock::now()?;
    let (holdings, leases) = (locked.holdings(session.me)?, locked.leases(&now)?);
    Ok(holdings.iter().map(|(block, _)| holdings.givable(block, pool, &leases, &now).count_ones()).sum())
}

/// Mirrors a pool that was read, and reads it strictly.
///
/// # Errors
/// If the pool cannot be used, or the disk refuses.
pub fn keep_mirror(
    store: &Store,
    name: &PoolName,
    read: &PoolObject,
    deadline: Instant,
) -> Result<Pool, NoAddress> {
    let bad = |why: manifold_addresses::pool::PoolProblem| NoAddress::BadPool {
        name: name.to_string(),
        why: why.to_string(),
    };
    let pool = Pool::read(&read.spec).map_err(bad)?;
    store.put_mirror(name, &Mirror { spec: read.spec.clone(), read: clock::now()? }, deadline)?;
    Ok(pool)
}

/// What nobody can be asked for: the sentence where the node has nothing free and no cluster.
///
/// # Errors
/// Always; [`NoAddress::NoCluster`] where it is about a shortage.
pub fn without_cluster(requests: &[AddressRequest], missing: &Missing) -> NoAddress {
    let (Missing::Short { request, .. }
    | Missing::Claim { request, .. }
    | Missing::Taken { request, .. }
    | Missing::Never { request, .. }) = missing;
    let choice = requests.get(*request).and_then(|r| r.pools.first());
    let ip = requests.get(*request).and_then(|r| r.by_name).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    match missing {
        Missing::Never { why, .. } => NoAddress::Never { ip, why: *why },
        Missing::Taken { by, .. } => NoAddress::Taken { ip, by: lease_holder(by.as_ref()) },
        Missing::Short { shortages, .. } if shortages.iter().any(|s: &Shortage| s.paused) => {
            NoAddress::Paused(choice.map(PoolChoice::display).unwrap_or_default())
        }
        _ => NoAddress::NoCluster(choice.map(PoolChoice::display).unwrap_or_default()),
    }
}
