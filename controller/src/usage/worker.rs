//! The loop: takes what the feeds tell, and lets what follows from it be written, until the term or the process ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::core::DynamicObject;
use manifold_crds::NadRef;
use manifold_crds::nad_status::NAMED_PODS;
use manifold_plan::Policy;

use crate::cluster::term::Term;
use crate::context::{Context, Stop};
use crate::events::About;
use crate::feed::{Event, Source, feed};
use crate::objects;
use crate::usage::apply::{Applied, ClientOf, Writer};
use crate::usage::decide::{self, News, UsersOf};
use crate::usage::index::{Index, Seen};
use crate::usage::metrics::{Metrics, Resource};
use crate::usage::missing::{Missing, Patience};
use crate::usage::observed::{Observed, observe, observed};
use crate::usage::pod::{PodFacts, Uid};
use crate::usage::queue::{Ended, Limits, Queue};
use crate::usage::uses::uses;

/// Pods that count: on the pod network, and not ended.
pub(crate) const PODS_THAT_COUNT: &str =
    "spec.hostNetwork=false,status.phase!=Succeeded,status.phase!=Failed";
/// Events taken at once, before anything is decided.
const BATCH: usize = 256;
/// The default network's count is told ever less often, up to this many times the usual pause, one time more for each of these
/// pods: each write of it wakes every node, and a large number is no other for one pod more.
const LONGEST_REST: u32 = 10;
const PODS_PER_REST: u64 = 100;
/// What is on its way when the process ends may arrive.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// How fast and how patient it works.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    pub writes: Limits,
    pub missing: Patience,
}

/// Keeps the use of networks true on the definitions. Returns when the term or the process ends.
pub async fn run(context: Context, metrics: Metrics, term: Term, stop: Stop) -> anyhow::Result<()> {
    run_at(Pace::default(), context, metrics, term, stop).await
}

/// The same, at another pace.
pub async fn run_at(
    pace: Pace,
    context: Context,
    metrics: Metrics,
    mut term: Term,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut pods = pods(&context, &metrics).ready_chunks(BATCH).boxed();
    let mut definitions = definitions(&context, &metrics).ready_chunks(BATCH).boxed();
    let mut worker = Worker::new(pace, context, metrics, term.clone())?;
    let mut rounds = tokio::time::interval(pace.missing.round);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !worker.is_over {
        worker.start_writes();
        let wake = worker.queue.next();
        tokio::select! {
            () = stop.asked() => break,
            () = term.ended() => break,
            Some(events) = pods.next() => events.into_iter().for_each(|event| worker.pod(event)),
            Some(events) = definitions.next() => events.into_iter().for_each(|event| worker.definition(event)),
            Some(write) = worker.writing.next() => worker.written(write).await,
            Some(runs) = worker.looking.next() => worker.looked(runs).await,
            _ = rounds.tick() => worker.round().await,
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {}
        }
        worker.want_what_changed();
    }
    worker.last_writes().await;
    Ok(())
}

/// Of each pod only what the index keeps is taken over from the text, so a batch is small whatever pods carry.
fn pods(context: &Context, metrics: &Metrics) -> impl Stream<Item = Event<Seen>> + use<> {
    let (policy, metrics) = (Arc::clone(&context.policy), metrics.clone());
    let source = Source {
        resource: "pods",
        path: "/api/v1/pods".to_owned(),
        fields: Some(PODS_THAT_COUNT),
        labels: None,
        metadata_only: true,
        told: Arc::new(move |trouble| metrics.trouble(Resource::Pods, trouble)),
    };
    feed(context.client.clone(), source, move |raw| PodFacts::read(raw).map(|pod| seen(pod, &policy)))
}

fn definitions(context: &Context, metrics: &Metrics) -> impl Stream<Item = Event<Observed>> + use<> {
    let (most, metrics) = (context.policy.limits.config_bytes, metrics.clone());
    let told = move |trouble| metrics.trouble(Resource::Definitions, trouble);
    feed(context.client.clone(), objects::source(told), move |raw| observe(raw, most))
}

fn seen(pod: PodFacts, policy: &Policy) -> Seen {
    let uses = uses(&pod, policy);
    Seen {
        uid: pod.uid,
        namespace: pod.namespace.as_str().to_owned(),
        name: pod.name.as_str().to_owned(),
        version: pod.version,
        networks: uses.networks,
        awaits_status: uses.asked && !pod.has_status && !pod.is_terminating,
    }
}

struct Write {
    nad: NadRef,
    uid: String,
    since: Instant,
    news: Vec<News>,
    applied: Applied,
}

pub(super) struct Worker {
    pub(super) context: Context,
    pub(super) metrics: Metrics,
    writer: Writer,
    pub(super) index: Index,
    pub(super) definitions: HashMap<NadRef, Observed>,
    /// Those of the list that is going on.
    listed: HashSet<NadRef>,
    definitions_complete: bool,
    pods_current: bool,
    /// Everything was queued once, after both lists.
    has_begun: bool,
    queue: Queue,
    pub(super) missing: Missing,
    /// The definition that carries the marks for the nodes.
    pub(super) default: NadRef,
    writing: FuturesUnordered<BoxFuture<'static, Write>>,
    pub(super) looking: FuturesUnordered<BoxFuture<'static, (Uid, bool)>>,
    is_over: bool,
}

impl Worker {
    fn new(pace: Pace, context: Context, metrics: Metrics, term: Term) -> anyhow::Result<Self> {
        let default = NadRef::new(&context.config.namespace, &context.config.default_network.name)?;
        let writer = Writer { client: ClientOf(context.client.clone()), term, metrics: metrics.clone() };
        Ok(Self {
            context,
            metrics,
            writer,
            index: Index::default(),
            definitions: HashMap::new(),
            listed: HashSet::new(),
            definitions_complete: false,
            pods_current: true,
            has_begun: false,
            queue: Queue::new(pace.writes, Instant::now()),
            missing: Missing::new(pace.missing),
            default,
            writing: FuturesUnordered::new(),
            looking: FuturesUnordered::new(),
            is_over: false,
        })
    }

    fn pod(&mut self, event: Event<Seen>) {
        match event {
            Event::ListBegins => self.index.list_begins(),
            Event::Listed(pod) => self.index.listed(pod),
            Event::ListEnds => self.index.list_ends(),
            Event::Set(pod) => self.index.set(pod),
            Event::Gone(pod) => self.index.remove(pod.uid, pod.version),
            Event::Malformed => {}
            Event::Interrupted => self.pods_current = false,
            Event::Resumed => {
                self.pods_current = true;
                self.want_all();
            }
        }
    }

    fn definition(&mut self, event: Event<Observed>) {
        match event {
            Event::ListBegins => self.listed.clear(),
            Event::Listed(observed) => {
                self.listed.insert(observed.definition.reference().clone());
                self.keep(observed);
            }
            Event::ListEnds => {
                let listed = std::mem::take(&mut self.listed);
                let is_gone = |nad: &&NadRef| !listed.contains(*nad);
                let gone: Vec<NadRef> = self.definitions.keys().filter(is_gone).cloned().collect();
                gone.iter().for_each(|nad| self.forget(nad));
                self.definitions_complete = true;
            }
            Event::Set(observed) => {
                if self.is_news(&observed) {
                    self.keep(observed);
                }
            }
            Event::Gone(observed) => {
                self.forget_object(observed.definition.reference(), &observed.definition.uid);
            }
            Event::Malformed | Event::Interrupted | Event::Resumed => {}
        }
    }

    fn is_news(&self, observed: &Observed) -> bool {
        let known = self.definitions.get(observed.definition.reference());
        known.is_none_or(|known| observed.is_news_after(known))
    }

    fn keep(&mut self, observed: Observed) {
        let nad = observed.definition.reference().clone();
        if let Some(why) = &observed.unreadable {
            self.metrics.malformed(Resource::Definitions);
            tracing::warn!("definition `{nad}` is malformed: {why}");
        }
        self.definitions.insert(nad.clone(), observed);
        self.want(&nad);
    }

    fn forget(&mut self, nad: &NadRef) {
        self.definitions.remove(nad);
        self.queue.forget(nad);
    }

    /// Only if it is still the one that is known under this name.
    fn forget_object(&mut self, nad: &NadRef, uid: &str) {
        if self.definitions.get(nad).is_some_and(|known| known.definition.uid == uid) {
            self.forget(nad);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.definitions_complete && self.index.is_complete()
    }

    fn want_what_changed(&mut self) {
        if !self.is_ready() {
            return;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            self.begin();
        }
        for nad in self.index.take_changed() {
            self.want(&nad);
        }
    }

    /// Both lists are there: from here on counts mean something.
    fn begin(&mut self) {
        if let Some(default) = self.definitions.get(&self.default) {
            self.missing.adopt(&default.definition.status.republish, self.index.awaiting(), Instant::now());
        }
        tracing::info!(
            pods = self.index.pods(),
            definitions = self.definitions.len(),
            "everything was listed"
        );
        self.want_all();
    }

    fn want_all(&mut self) {
        let all: Vec<NadRef> = self.definitions.keys().cloned().collect();
        all.iter().for_each(|nad| self.want(nad));
    }

    pub(super) fn want(&mut self, nad: &NadRef) {
        let Some(observed) = self.definitions.get(nad).filter(|_| self.is_ready()) else { return };
        // A network in its first use could be deleted any moment.
        let is_first = self.index.count(nad) > 0
            && !observed.definition.has_finalizer(manifold_crds::nad_status::IN_USE_FINALIZER)
            && !observed.definition.nad.is_terminating();
        self.queue.want(nad, is_first, Instant::now());
    }

    fn start_writes(&mut self) {
        if !self.is_ready() {
            return;
        }
        while let Some((nad, since)) = self.queue.take(Instant::now()) {
            match self.start_write(&nad, since) {
                Some(write) => self.writing.push(write),
                None => self.queue.spared(&nad),
            }
        }
    }

    fn start_write(&mut self, nad: &NadRef, since: Instant) -> Option<BoxFuture<'static, Write>> {
        let observed = self.definitions.get(nad)?;
        let (count, names) = self.index.users(nad);
        let is_going = observed.definition.nad.is_terminating() && count > 0;
        let foreign = if is_going { self.index.foreign_users(nad, NAMED_PODS) } else { (0, Vec::new()) };
        let users = UsersOf { count, is_current: self.pods_current, names, foreign };
        let marks = if *nad == self.default { self.missing.marks() } else { &[] };
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let decision = decide::decide(observed, &users, marks, &self.context.policy, &now);
        if decision.is_nothing() {
            return None;
        }
        let (writer, definition, nad) = (self.writer.clone(), observed.definition.clone(), nad.clone());
        let (uid, news) = (definition.uid.clone(), decision.news.clone());
        Some(
            async move { Write { nad, uid, since, news, applied: writer.write(definition, decision).await } }
                .boxed(),
        )
    }

    async fn written(&mut self, write: Write) {
        let Write { nad, uid, since, news, applied } = write;
        let ended = match applied {
            Applied::Written(object) => {
                if nad != self.default {
                    self.metrics.lagged(since.elapsed());
                }
                self.know(&nad, &uid, object);
                self.tell(&nad, &uid, news).await;
                Ended::Well
            }
            Applied::Stale(object) => {
                self.know(&nad, &uid, object);
                Ended::Stale
            }
            Applied::Failed(why) => {
                tracing::warn!("definition `{nad}` could not be written and is tried again: {why}");
                Ended::Failed
            }
            Applied::Refused(why) => {
                tracing::error!("the API server refuses what is written to definition `{nad}`: {why}");
                Ended::Refused
            }
            Applied::TermOver => {
                self.is_over = true;
                Ended::Failed
            }
        };
        self.queue.done(&nad, since, ended, Instant::now());
        if nad == self.default && ended == Ended::Well {
            self.queue.rest(&nad, rest(self.index.count(&nad)), Instant::now());
        }
        if !self.definitions.contains_key(&nad) {
            self.queue.forget(&nad);
        }
        self.count();
    }

    /// What an answer said, before the watch says it, and never again after it: so what others did in between is acted on
    /// here. `None`: the object is gone.
    fn know(&mut self, nad: &NadRef, uid: &str, object: Option<Box<DynamicObject>>) {
        let most = self.context.policy.limits.config_bytes;
        match object.map(|object| observed(*object, most)) {
            Some(Ok(observed)) if self.is_news(&observed) => {
                let is_other = self.definitions.get(nad).is_none_or(|known| observed.differs_from(known));
                self.definitions.insert(nad.clone(), observed);
                if is_other {
                    self.want(nad);
                }
            }
            Some(_) => {}
            None => self.forget_object(nad, uid),
        }
    }

    async fn tell(&mut self, nad: &NadRef, uid: &str, news: Vec<News>) {
        let about = About::Definition { reference: nad.clone(), uid: uid.to_owned() };
        for News { severity, reason, sentence } in news {
            self.context.events.tell(&about, severity, reason, &sentence).await;
        }
    }

    async fn last_writes(&mut self) {
        let _ =
            tokio::time::timeout(LAST_WRITES, async { while self.writing.next().await.is_some() {} }).await;
    }
}

/// In usual pauses.
fn rest(pods: u64) -> u32 {
    u32::try_from(pods / PODS_PER_REST).unwrap_or(LONGEST_REST).saturating_add(1).min(LONGEST_REST)
}
