//! The loop: takes what the feeds tell, and about once a second sends what follows, until the term or the process ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use kube::Client;
use manifold_addresses::leader::Observed;
use manifold_addresses::moment::Seconds;
use manifold_crds::ipam::{BlockCidr, BlockState, Domain};

use super::claims::{self, Untold};
use super::domain::{self, Found};
use super::feeds::{Batch, Feeds};
use super::metrics::{self, Metrics};
use super::pool_round::{self, Memory, PoolWrite};
use super::send::BlockClient;
use super::status::Known;
use super::sweep::Fresh;
use super::view::View;
use super::{claim_writes, inline, resource};
use crate::cluster::term::Term;
use crate::context::{Context, Stop};

/// How often the API server is asked for what it does not know yet.
const DISCOVERY: Duration = Duration::from_secs(5);
/// A round comes without any news, too: some things are due by time.
const QUIET_ROUND: Duration = Duration::from_secs(5);
/// A round that took long is followed by a rest of so many times as long.
const REST: u32 = 10;

/// How fast it works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two rounds.
    pub round: Duration,
    /// Seconds that pass in one: what is waited for passes sooner in a test.
    pub speed: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { round: Duration::from_secs(1), speed: 1 }
    }
}

/// Keeps addresses in order. Returns when the term or the process ends.
pub async fn run(context: Context, metrics: Metrics, term: Term, stop: Stop) {
    run_at(Pace::default(), context, metrics, term, stop).await;
}

/// The same, at another pace.
pub async fn run_at(pace: Pace, context: Context, metrics: Metrics, mut term: Term, mut stop: Stop) {
    let mut worker = Worker::new(pace, context, metrics, term.clone());
    tokio::select! {
        () = stop.asked() => return,
        () = term.ended() => return,
        () = wait_for_resources(worker.context.client.clone()) => {}
    }
    let mut feeds = Feeds::begin(&worker.context, &worker.metrics);
    while !worker.is_over {
        let due = worker.due();
        tokio::select! {
            () = stop.asked() => return,
            () = term.ended() => return,
            batch = feeds.next() => match batch {
                Some(batch) => worker.take(batch),
                None => return,
            },
            fresh = swept(&mut worker.sweeping) => worker.take_back(fresh).await,
            () = tokio::time::sleep_until(due.into()) => worker.round(&mut feeds).await,
        }
    }
}

/// The CRDs come with the manifests, which may be older than this program for a while.
async fn wait_for_resources(client: Client) {
    let (pools, blocks) = (resource::pools(), resource::blocks());
    while !(resource::is_served(&client, &pools).await && resource::is_served(&client, &blocks).await) {
        tokio::time::sleep(DISCOVERY).await;
    }
}

async fn swept(sweeping: &mut Option<BoxFuture<'static, Fresh>>) -> Fresh {
    match sweeping {
        Some(reading) => {
            let fresh = reading.await;
            *sweeping = None;
            fresh
        }
        None => std::future::pending().await,
    }
}

pub(super) struct Worker {
    pub(super) pace: Pace,
    pub(super) context: Context,
    pub(super) metrics: Metrics,
    pub(super) term: Term,
    pub(super) client: BlockClient,
    pub(super) view: View,
    pub(super) observed: BTreeMap<Domain, Observed>,
    pub(super) memory: BTreeMap<String, Memory>,
    pub(super) untold: Untold,
    pub(super) refused: BTreeMap<(Domain, BlockCidr), Seconds>,
    pub(super) sweeping: Option<BoxFuture<'static, Fresh>>,
    pub(super) began: Instant,
    pub(super) has_news: bool,
    pub(super) last_round: Instant,
    pub(super) rest: Duration,
    pub(super) last_sweep: Instant,
    pub(super) last_discovery: Option<Instant>,
    pub(super) is_over: bool,
}

impl Worker {
    fn new(pace: Pace, context: Context, metrics: Metrics, term: Term) -> Self {
        let now = Instant::now();
        Self {
            pace,
            client: BlockClient(context.client.clone()),
            context,
            metrics,
            term,
            view: View::default(),
            observed: BTreeMap::new(),
            memory: BTreeMap::new(),
            untold: Untold::new(),
            refused: BTreeMap::new(),
            sweeping: None,
            began: now,
            has_news: false,
            last_round: now,
            rest: pace.round,
            last_sweep: now,
            last_discovery: None,
            is_over: false,
        }
    }

    pub(super) fn now(&self) -> Seconds {
        (self.began.elapsed() * self.pace.speed).as_secs()
    }

    fn due(&self) -> Instant {
        let pause = if self.has_news { self.rest } else { self.rest.max(QUIET_ROUND / self.pace.speed) };
        self.last_round + pause
    }

    fn take(&mut self, batch: Batch) {
        self.has_news = true;
        let view = &mut self.view;
        match batch {
            Batch::Pools(events) => events.into_iter().for_each(|event| view.pools.take(event)),
            Batch::Blocks(events) => events.into_iter().for_each(|event| view.blocks.take(event)),
            Batch::Definitions(events) => events.into_iter().for_each(|event| view.definitions.take(event)),
            Batch::Nodes(events) => events.into_iter().for_each(|event| view.nodes.take(event)),
            Batch::Pods(events) => {
                view.settle();
                events.into_iter().for_each(|event| view.pods.take(event));
            }
            Batch::Claims(events) => events.into_iter().for_each(|event| view.claims.take(event)),
        }
    }

    async fn round(&mut self, feeds: &mut Feeds) {
        let began = Instant::now();
        self.has_news = false;
        self.discover(feeds).await;
        if self.view.wants_pods() {
            feeds.begin_pods(&self.context, &self.metrics);
        }
        self.view.settle();
        if self.view.is_complete() {
            self.act().await;
        }
        self.last_round = Instant::now();
        self.rest = self.pace.round.max(began.elapsed().min(Duration::from_secs(1)) * REST / 4);
    }

    async fn discover(&mut self, feeds: &mut Feeds) {
        let is_due = self.last_discovery.is_none_or(|last| last.elapsed() > DISCOVERY);
        if self.view.has_claims || !is_due {
            return;
        }
        self.last_discovery = Some(Instant::now());
        if resource::is_served(&self.context.client, &resource::claims()).await {
            self.view.has_claims = true;
            feeds.begin_claims(&self.context, &self.metrics);
        }
    }

    async fn act(&mut self) {
        self.keep_inline_pools().await;
        let (nodes, now) = (self.view.nodes(), self.now());
        let mut found = BTreeMap::new();
        for domain in self.view.domains() {
            let observed = self.observed.entry(domain.clone()).or_default();
            found.insert(domain.clone(), domain::look(&self.view, &domain, &nodes, observed, now));
        }
        let writes = found.values_mut().flat_map(|found| std::mem::take(&mut found.writes)).collect();
        self.send(writes).await;
        self.care_for_claims().await;
        self.tell_pools(&found).await;
        self.sweep(&nodes);
    }

    async fn keep_inline_pools(&mut self) {
        let changes = inline::changes(self.view.definitions.iter(), self.view.pools.iter(), |name| {
            self.view.is_used(name)
        });
        self.write_pools(changes.into_iter().map(PoolWrite::Change).collect()).await;
        self.view.settle();
    }

    async fn care_for_claims(&mut self) {
        let now = self.now();
        for task in claims::tasks(&self.view, &mut self.untold, now) {
            if !self.term.holds() {
                self.is_over = true;
                return;
            }
            if let Err(why) = claim_writes::act(&self.context, &self.view, &task).await {
                tracing::warn!("an IPAMClaim is looked after later: {why:#}");
            }
        }
    }

    async fn tell_pools(&mut self, found: &BTreeMap<Domain, Found>) {
        let now = self.now();
        let mut all: BTreeMap<String, Known> = BTreeMap::new();
        let mut writes = Vec::new();
        for object in self.view.pools.iter() {
            let memory = self.memory.entry(object.name.clone()).or_insert_with(|| Memory::of(object));
            let known = pool_round::known(&self.view, object, memory, found, now);
            writes.extend(pool_round::writes(&self.view, object, &known));
            all.insert(object.name.clone(), known);
        }
        self.memory.retain(|name, _| all.contains_key(name));
        self.metrics.pools(&pool_round::all_counts(&all));
        self.metrics.conflicts(found.values().map(|found| found.duplicates.len()).sum());
        self.count_blocks();
        self.write_pools(writes).await;
    }

    fn count_blocks(&self) {
        let (mut held, mut shared, mut recalled) = (0, 0, 0);
        for stored in self.view.blocks.domains().flat_map(|(_, blocks)| blocks.values()) {
            match &stored.spec.state {
                BlockState::Held(one) => {
                    held += 1;
                    recalled += usize::from(one.recall.is_some());
                }
                BlockState::Shared(_) => shared += 1,
            }
        }
        self.metrics.blocks(|state| match state {
            metrics::BlockState::Held => held,
            metrics::BlockState::Shared => shared,
            metrics::BlockState::Recalled => recalled,
        });
    }
}
