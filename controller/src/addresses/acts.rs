//! What the worker does by itself: writes to blocks and pools, sweeps, and what is told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use manifold_addresses::api::{Stored, Write};
use manifold_addresses::leader::Nodes;
use manifold_addresses::moment::Seconds;
use manifold_crds::ipam::{BlockCidr, BlockState, Domain, RecallReason};

use super::metrics::{Outcome, Taken, Wanted};
use super::mirror::Kept as _;
use super::pool_round::{self, PoolWrite};
use super::read::PoolObject;
use super::send::Sent;
use super::status::News;
use super::sweep::{self, Fresh, Reader, Taking};
use super::worker::Worker;
use crate::events::{About, Reason, Severity};

const SWEEP: Duration = Duration::from_secs(5);
/// Writes to blocks of one round, and how many at once.
const WRITES: usize = 256;
const AT_ONCE: usize = 8;
/// What the API server refused once is not sent again for so long.
const REFUSED_FOR_SECONDS: Seconds = 60;

impl Worker {
    pub(super) async fn send(&mut self, writes: Vec<Write>) {
        let now = self.now();
        self.refused.retain(|_, until| *until > now);
        let due = writes.into_iter().map(|write| (domain_of(&write), write));
        let due: Vec<_> = due
            .filter(|(domain, write)| !self.refused.contains_key(&(domain.clone(), write.block())))
            .take(WRITES)
            .collect();
        let (client, term) = (self.client.clone(), self.term.clone());
        let sent = futures::stream::iter(due).map(|(domain, write)| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                let sent = if term.holds() { Some(client.send(&write).await) } else { None };
                (domain, write, sent)
            }
        });
        let all: Vec<_> = sent.buffer_unordered(AT_ONCE).collect().await;
        for (domain, write, sent) in all {
            match sent {
                Some(sent) => {
                    self.sent(&domain, &write, sent);
                }
                None => self.is_over = true,
            }
        }
    }

    /// Takes an answer up before the watch tells of it. Whether it was done.
    fn sent(&mut self, domain: &Domain, write: &Write, sent: Sent) -> bool {
        let block = write.block();
        let (outcome, is_done) = match sent {
            Sent::Applied(Some(stored)) => {
                self.count_recall(write, &stored);
                self.view.blocks.set(stored);
                (Outcome::Applied, true)
            }
            Sent::Applied(None) => {
                if let Write::Delete { uid, .. } = write {
                    self.view.blocks.remove(domain, block, uid);
                }
                (Outcome::Applied, true)
            }
            Sent::Conflict => (Outcome::Conflict, false),
            Sent::Refused(why) => {
                tracing::error!(
                    "the API server refuses what is written to block `{block}` of `{domain}`: {why}"
                );
                self.refused.insert((domain.clone(), block), self.now() + REFUSED_FOR_SECONDS);
                (Outcome::Refused, false)
            }
            Sent::Unknown(why) => {
                tracing::warn!("block `{block}` of `{domain}` is written again later: {why}");
                (Outcome::Unknown, false)
            }
        };
        self.metrics.wrote(outcome);
        is_done
    }

    fn count_recall(&self, write: &Write, stored: &Stored) {
        let BlockState::Held(held) = &stored.spec.state else { return };
        let before = self.view.blocks.of(&stored.spec.domain).get(&write.block());
        let was =
            before.is_some_and(|b| matches!(&b.spec.state, BlockState::Held(held) if held.recall.is_some()));
        match held.recall.as_ref().map(|recall| recall.reason) {
            Some(RecallReason::PoolShort) if !was => self.metrics.recalled(Wanted::PoolShort),
            Some(RecallReason::FixedAddress) if !was => self.metrics.recalled(Wanted::FixedAddress),
            _ => {}
        }
    }

    pub(super) async fn write_pools(&mut self, writes: Vec<PoolWrite>) {
        let (client, term) = (self.context.client.clone(), self.term.clone());
        let sent = futures::stream::iter(writes).map(|write| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                let sent =
                    if term.holds() { Some(pool_round::send_write(&client, &write).await) } else { None };
                (write, sent)
            }
        });
        let all: Vec<_> = sent.buffer_unordered(AT_ONCE).collect().await;
        for (write, sent) in all {
            match sent {
                Some(Ok(Some(pool))) => {
                    if let PoolWrite::Status { news, .. } = &write {
                        self.tell(&pool, news).await;
                    }
                    self.view.pools.set(pool);
                }
                Some(Ok(None)) => {}
                // Whoever was quicker is heard of by the watch.
                Some(Err(why)) => tracing::info!("a pool is written again later: {why:#}"),
                None => self.is_over = true,
            }
        }
    }

    async fn tell(&mut self, pool: &PoolObject, news: &[News]) {
        let about = About::Pool { name: pool.name.clone(), uid: pool.uid().to_owned() };
        for one in news {
            self.context.events.tell(&about, one.severity, one.reason, &one.sentence).await;
        }
    }

    /// Begins to read anew where something may have to be taken from somebody.
    pub(super) fn sweep(&mut self, nodes: &Nodes) {
        if self.sweeping.is_some() || self.last_sweep.elapsed() < SWEEP / self.pace.speed {
            return;
        }
        self.last_sweep = Instant::now();
        let now = self.now();
        let suspects = sweep::suspects(&self.view, nodes, &mut self.observed, now);
        for (domain, observed) in &mut self.observed {
            let blocks = self.view.blocks.of(domain);
            let shown: BTreeSet<BlockCidr> = self.view.shown(domain).blocks().collect();
            observed.retain(|block| blocks.contains_key(&block) || shown.contains(&block));
        }
        if suspects.is_empty() {
            return;
        }
        let reader = Reader {
            client: self.context.client.clone(),
            policy: Arc::clone(&self.context.policy),
            metrics: self.metrics.clone(),
            scopes: self.view.pods.scopes().clone(),
        };
        self.sweeping = Some(reader.read(suspects, self.view.has_claims).boxed());
    }

    pub(super) async fn take_back(&mut self, mut fresh: Fresh) {
        let now = self.now();
        for taking in sweep::decide_all(&mut fresh, &mut self.view, &mut self.observed, now) {
            if !self.term.holds() {
                self.is_over = true;
                return;
            }
            let sent = self.client.send(&taking.write).await;
            if self.sent(&taking.before.spec.domain.clone(), &taking.write, sent) {
                self.tell_of(&taking).await;
            }
        }
        self.has_news = true;
    }

    async fn tell_of(&mut self, taking: &Taking) {
        let (freed, kept) = sweep::outcome(taking);
        self.metrics.reclaimed(taking.cause, freed);
        let (block, holder) = (taking.before.spec.cidr, sweep::holder(&taking.before));
        let (reason, severity, why) = match taking.cause {
            Taken::NodeLost => {
                (Reason::AddressesReclaimed, Severity::Normal, "its Node is gone or out of service")
            }
            Taken::StoreLost => (
                Reason::AddressesLost,
                Severity::Warning,
                "its folder of leases was lost; see who deleted it",
            ),
            Taken::OwnerGone => return,
        };
        let sentence = format!(
            "{freed} addresses of block `{block}` were taken from node `{holder}`, and {kept} stay with who has them: {why}"
        );
        tracing::info!("{sentence}");
        let domain = &taking.before.spec.domain;
        let of_block = |pool: &&PoolObject| {
            let read = pool.pool.as_ref().ok().filter(|read| read.domain == *domain);
            read.is_some_and(|read| (read.ordinary.mask(block) | read.fixed.mask(block)) != 0)
        };
        if let Some(pool) = self.view.pools.iter().find(of_block) {
            let about = About::Pool { name: pool.name.clone(), uid: pool.uid().to_owned() };
            self.context.events.tell(&about, severity, reason, &sentence).await;
        }
    }
}

fn domain_of(write: &Write) -> Domain {
    match write {
        Write::Create(spec) | Write::Replace { spec, .. } => spec.domain.clone(),
        Write::Delete { domain, .. } => domain.clone(),
    }
}
