//! One round: for each domain what crate `manifold-addresses` says is to be done, under the claiming lock.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use manifold_address_store::session::{Claim, Outcome, Session};
use manifold_address_store::{DomainFolder, Store, clock};
use manifold_addresses::agent::{Idle, LEAST_FREE, PoolInUse, Task, tasks};
use manifold_addresses::api::Identity;
use manifold_addresses::claim::{Chance, Search, Want, candidates, room_on_node};
use manifold_addresses::holdings::Holdings;
use manifold_addresses::lease::Leases;
use manifold_addresses::moment::Moment;
use manifold_crds::ipam::{Domain, Mode};
use tokio::runtime::Handle;

use super::api::NodeApi;
use super::follow::Followed;
use super::metrics::{Kind, State};
use super::mirrors::{Known, Mirrors};
use super::{Parts, keep_identity, tell};

/// How long the domain's lock is waited for.
const LOCK: Duration = Duration::from_secs(5);
/// So much is done before the claiming lock is let go: an ADD may wait for it.
const TASKS: usize = 16;
/// How many blocks are tried for one that is free.
const TRIES: usize = 4;

pub(super) struct Rounds {
    parts: Parts,
    api: NodeApi,
    store: Store,
    followed: Arc<Followed>,
    runtime: Handle,
    mirrors: Mirrors,
    idle: BTreeMap<Domain, Idle>,
}

struct SystemChance;

impl Chance for SystemChance {
    fn below(&mut self, end: u128) -> u128 {
        u128::from(RandomState::new().build_hasher().finish()) % end.max(1)
    }
}

/// What the files of a domain say now.
struct Now {
    holdings: Holdings,
    leases: Leases,
    at: Moment,
}

impl Rounds {
    pub(super) fn new(
        parts: Parts,
        client: Client,
        store: Store,
        followed: Arc<Followed>,
        runtime: Handle,
    ) -> Self {
        let api = NodeApi::new(client);
        Self { parts, api, store, followed, runtime, mirrors: Mirrors::default(), idle: BTreeMap::new() }
    }

    /// Whether all is done that could be.
    pub(super) fn round(&mut self) -> bool {
        // A node that is given back takes nothing more up.
        if self.parts.seen.borrow().uninstall.is_some() {
            return true;
        }
        let known = keep_identity(&self.parts);
        let done = known.and_then(|known| if known { self.all_domains() } else { Ok(false) });
        done.unwrap_or_else(|why| {
            tracing::warn!("addresses of this node are looked after later: {why:#}");
            false
        })
    }

    fn all_domains(&mut self) -> anyhow::Result<bool> {
        let known = self.store.domains()?;
        let mut domains: BTreeSet<Domain> = known.iter().map(|domain| domain.name().clone()).collect();
        domains.extend(self.followed.domains());
        if domains.is_empty() {
            return Ok(true);
        }
        let me = self.store.identity()?;
        let runtime = self.runtime.clone();
        runtime.block_on(self.mirrors.refresh(&self.store, &self.api))?;
        let mut is_done = true;
        self.parts.metrics.begin_addresses();
        for domain in &domains {
            match runtime.block_on(self.domain(domain, &me)) {
                Ok(done) => is_done &= done,
                Err(why) => {
                    tracing::warn!("addresses of domain `{domain}` are looked after later: {why:#}");
                    is_done = false;
                }
            }
        }
        Ok(is_done)
    }

    async fn domain(&mut self, domain: &Domain, me: &Identity) -> anyhow::Result<bool> {
        let Some(watched) = self.followed.of(&me.uid, domain) else { return Ok(false) };
        let folder = self.store.domain(domain);
        // Whoever has it claims, and settles what it finds.
        let Some(claiming) = folder.try_claiming()? else { return Ok(false) };
        let api = self.api.clone();
        let session = Session::new(&api, &folder, me, claiming, Instant::now() + LOCK);
        session.settle().await?;
        let pools = self.mirrors.of(domain);
        let now = read(&folder, me)?;
        self.count(&pools, &now);
        self.forget_unused(&pools, &now);
        let in_use: Vec<PoolInUse<'_>> =
            pools.iter().map(|known| PoolInUse { pool: &known.pool, mode: known.mode }).collect();
        let idle = self.idle.entry(domain.clone()).or_default();
        let due = tasks(&now.holdings, &now.leases, &watched, &in_use, idle, me, &now.at);
        let is_more = due.len() > TASKS;
        for task in due.into_iter().take(TASKS) {
            let began = Instant::now();
            let done = self.act(&session, task, &pools).await;
            self.parts.metrics.did(kind(task), done.as_ref().ok(), began.elapsed());
            if let Outcome::Done { conflicts, .. } = done?
                && conflicts != 0
                && let Task::Reconcile(block) = task
            {
                tell::conflicts(&self.parts, &folder, block, conflicts).await;
            }
        }
        Ok(!is_more)
    }

    async fn act(
        &self,
        session: &Session<'_, NodeApi>,
        task: Task,
        pools: &[Known],
    ) -> anyhow::Result<Outcome> {
        match task {
            Task::Reconcile(block) => Ok(session.reconcile(block).await?),
            Task::Release(block, mask) => {
                let of_block = pools.iter().filter(|known| known.pool.ordinary.mask(block) != 0);
                let rest = of_block.map(|known| known.pool.reuse_after_seconds).max().unwrap_or(0);
                Ok(session.release(block, mask, rest).await?)
            }
            Task::MarkLostStore(block) => {
                session.mark_lost_store(block).await?;
                tell::lost(&self.parts, block).await;
                Ok(Outcome::Done { held: 0, conflicts: 0 })
            }
            Task::TopUp => top_up(session, pools).await,
        }
    }

    fn count(&self, pools: &[Known], now: &Now) {
        for known in pools {
            let add = |state, of: &dyn Fn(manifold_crds::ipam::BlockCidr) -> u16| {
                let count = now
                    .holdings
                    .iter()
                    .map(|(block, _)| (of(block) & known.pool.ordinary.mask(block)).count_ones());
                self.parts.metrics.addresses(known.name.as_str(), state, count.sum());
            };
            add(State::Used, &|block| now.leases.mask(block));
            add(State::Free, &|block| now.holdings.givable(block, &known.pool, &now.leases, &now.at));
            add(State::Leaving, &|block| now.holdings.get(block).map_or(0, |holding| holding.closing));
        }
    }

    /// Nothing of them is here any more, so whoever needs one reads it anew.
    fn forget_unused(&mut self, pools: &[Known], now: &Now) {
        for known in pools {
            let is_held = now.holdings.iter().any(|(block, _)| known.pool.subnet.contains(&block.start()));
            let is_used = now.leases.addresses().any(|ip| known.pool.subnet.contains(&ip));
            if !is_held && !is_used {
                self.mirrors.forget(&self.store, &known.name);
            }
        }
    }
}

fn kind(task: Task) -> Kind {
    match task {
        Task::Reconcile(_) => Kind::Confirm,
        Task::Release(..) => Kind::Release,
        Task::MarkLostStore(_) => Kind::StoreLost,
        Task::TopUp => Kind::TopUp,
    }
}

fn read(folder: &DomainFolder, me: &Identity) -> anyhow::Result<Now> {
    let locked = folder.lock(Instant::now() + LOCK)?;
    let at = clock::now()?;
    Ok(Now { holdings: locked.holdings(me)?, leases: locked.leases(&at)?, at })
}

/// One block for each pool that pods use and of which too little is free.
async fn top_up(session: &Session<'_, NodeApi>, pools: &[Known]) -> anyhow::Result<Outcome> {
    let now = read(session.folder, session.me)?;
    let mut last = Outcome::Skipped { held_by: None };
    for known in pools.iter().filter(|known| known.mode == Mode::Blocks && !known.pool.paused) {
        let is_used = now.leases.addresses().any(|ip| known.pool.ordinary.contains(ip));
        let givable = |block| now.holdings.givable(block, &known.pool, &now.leases, &now.at).count_ones();
        let free: u32 = now.holdings.iter().map(|(block, _)| givable(block)).sum();
        if !is_used || free >= LEAST_FREE || room_on_node(&known.pool, &now.holdings) < 16 {
            continue;
        }
        let claim = Claim { pool: &known.pool, want: Want::Block, reads_first: false, only_new: true };
        let blocks =
            candidates(&known.pool, known.mode, &known.hints, &now.holdings, Search::Some, &mut SystemChance);
        for block in blocks.into_iter().take(TRIES) {
            last = session.claim(block, &claim).await?;
            if matches!(last, Outcome::Done { .. }) {
                break;
            }
        }
    }
    Ok(last)
}
