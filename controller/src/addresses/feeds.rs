//! The feeds of the leader. Pods and claims begin when they are wanted.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use manifold_addresses::api::Stored;

use super::facts::PodFacts;
use super::inline::{self, DefinitionFacts};
use super::metrics::{Metrics, Resource};
use super::read::{self, ClaimObject, NodeObject, PoolObject};
use super::resource;
use crate::context::Context;
use crate::feed::{Event, Source, Trouble, feed};
use crate::{objects, usage};

/// Events taken at once, before anything is decided.
const BATCH: usize = 256;

type Batches<T> = BoxStream<'static, Vec<Event<T>>>;

pub(super) struct Feeds {
    pub(super) pools: Batches<PoolObject>,
    pub(super) blocks: Batches<Stored>,
    pub(super) definitions: Batches<DefinitionFacts>,
    pub(super) nodes: Batches<NodeObject>,
    pub(super) pods: Option<Batches<PodFacts>>,
    pub(super) claims: Option<Batches<ClaimObject>>,
}

/// What came of one.
pub(super) enum Batch {
    Pools(Vec<Event<PoolObject>>),
    Blocks(Vec<Event<Stored>>),
    Definitions(Vec<Event<DefinitionFacts>>),
    Nodes(Vec<Event<NodeObject>>),
    Pods(Vec<Event<PodFacts>>),
    Claims(Vec<Event<ClaimObject>>),
}

fn told(metrics: &Metrics, resource: Resource) -> impl Fn(Trouble) + Send + Sync + use<> {
    let metrics = metrics.clone();
    move |trouble| metrics.trouble(resource, trouble)
}

fn batches<T: Send + 'static>(stream: impl Stream<Item = Event<T>> + Send + 'static) -> Batches<T> {
    stream.ready_chunks(BATCH).boxed()
}

async fn next<T>(batches: &mut Option<Batches<T>>) -> Option<Vec<Event<T>>> {
    match batches {
        Some(batches) => batches.next().await,
        None => std::future::pending().await,
    }
}

impl Feeds {
    pub(super) fn begin(context: &Context, metrics: &Metrics) -> Self {
        let client = || context.client.clone();
        let ours = |name, of| {
            resource::source(
                name,
                &of,
                told(metrics, if name == "addresspools" { Resource::Pools } else { Resource::Blocks }),
            )
        };
        let definitions = objects::source(told(metrics, Resource::Definitions));
        Self {
            pools: batches(feed(client(), ours("addresspools", resource::pools()), read::pool)),
            blocks: batches(feed(client(), ours("addressblocks", resource::blocks()), read::block)),
            definitions: batches(feed(client(), definitions, inline::definition)),
            nodes: batches(feed(client(), nodes(metrics), read::node)),
            pods: None,
            claims: None,
        }
    }

    pub(super) fn begin_pods(&mut self, context: &Context, metrics: &Metrics) {
        if self.pods.is_none() {
            let policy = Arc::clone(&context.policy);
            let read = move |raw: &_| PodFacts::read(raw, &policy);
            self.pods = Some(batches(feed(context.client.clone(), pods(metrics), read)));
        }
    }

    pub(super) fn begin_claims(&mut self, context: &Context, metrics: &Metrics) {
        let source = resource::source("ipamclaims", &resource::claims(), told(metrics, Resource::Claims));
        self.claims.get_or_insert_with(|| batches(feed(context.client.clone(), source, read::claim)));
    }

    /// Can be dropped in the middle. `None`: a feed ended, which none does.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        tokio::select! {
            events = self.pools.next() => events.map(Batch::Pools),
            events = self.blocks.next() => events.map(Batch::Blocks),
            events = self.definitions.next() => events.map(Batch::Definitions),
            events = self.nodes.next() => events.map(Batch::Nodes),
            events = next(&mut self.pods) => events.map(Batch::Pods),
            events = next(&mut self.claims) => events.map(Batch::Claims),
        }
    }
}

/// The nodes, of which each is read whole: a taint says that a machine is off.
pub(super) fn nodes(metrics: &Metrics) -> Source {
    let told = Arc::new(told(metrics, Resource::Nodes));
    Source {
        resource: "nodes",
        path: "/api/v1/nodes".to_owned(),
        fields: None,
        labels: None,
        metadata_only: false,
        told,
    }
}

/// Pods that count for networks. Read whole, for their metadata does not say on which node they are; a few words are kept.
pub(super) fn pods(metrics: &Metrics) -> Source {
    let told = Arc::new(told(metrics, Resource::Pods));
    let fields = Some(usage::PODS_THAT_COUNT);
    Source {
        resource: "pods",
        path: "/api/v1/pods".to_owned(),
        fields,
        labels: None,
        metadata_only: false,
        told,
    }
}
