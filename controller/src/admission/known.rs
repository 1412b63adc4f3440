//! The definitions that reviews of pods are made with: from a watch, and one by one from the API server where they count.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, pin_mut};
use kube::Client;
use kube::runtime::{WatchStreamExt as _, watcher};
use manifold_crds::{Nad, NadRef};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::context::Stop;
use crate::objects::{self, Definition};

/// All reading of one review, however many definitions it takes.
const READING: Duration = Duration::from_millis(900);
/// Definitions being read at one time, for all reviews together: the API server has other work.
const READERS: usize = 32;

/// Every definition of the cluster, as the watch has it.
#[derive(Clone)]
pub(super) struct KnownDefinitions {
    client: Client,
    readers: Arc<Semaphore>,
    nads: Arc<RwLock<BTreeMap<NadRef, Arc<Nad>>>>,
}

/// What the API server says of a definition now.
pub(super) enum Live {
    Here(Box<Nad>),
    Missing,
    /// It did not say in time, or not in words that can be read.
    Unknown(String),
}

impl KnownDefinitions {
    pub(super) fn new(client: Client) -> Self {
        Self { client, readers: Arc::new(Semaphore::new(READERS)), nads: Arc::default() }
    }

    /// Those of these that exist.
    pub(super) fn of(&self, references: &[NadRef]) -> BTreeMap<NadRef, Nad> {
        let nads = self.nads.read().unwrap_or_else(PoisonError::into_inner);
        let known = |r: &NadRef| Some((r.clone(), nads.get(r)?.as_ref().clone()));
        references.iter().filter_map(known).collect()
    }

    /// Reads anew, until the time of this review is over.
    pub(super) fn live(&self) -> LiveReader<'_> {
        LiveReader { known: self, until: Instant::now() + READING }
    }

    /// Follows the definitions until it is time to end.
    pub(super) async fn follow(&self, mut stop: Stop) {
        let events = watcher(objects::all(self.client.clone()), watcher::Config::default()).default_backoff();
        pin_mut!(events);
        let mut listed = None;
        loop {
            let event = tokio::select! {
                () = stop.asked() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(event)) => self.take(event, &mut listed),
                Some(Err(error)) => tracing::warn!(%error, "the watch of definitions is interrupted"),
                None => return,
            }
        }
    }

    /// A list takes the place of everything when it is complete, so nobody ever sees half of one.
    fn take(
        &self,
        event: watcher::Event<kube::api::DynamicObject>,
        listed: &mut Option<BTreeMap<NadRef, Arc<Nad>>>,
    ) {
        let nads = || self.nads.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => *listed = Some(BTreeMap::new()),
            watcher::Event::InitApply(object) => {
                if let (Some(nad), Some(list)) = (read(&object), listed) {
                    list.insert(nad.reference.clone(), Arc::new(nad));
                }
            }
            watcher::Event::InitDone => {
                if let Some(list) = listed.take() {
                    *nads() = list;
                }
            }
            watcher::Event::Apply(object) => {
                if let Some(nad) = read(&object) {
                    nads().insert(nad.reference.clone(), Arc::new(nad));
                }
            }
            watcher::Event::Delete(object) => {
                if let Some(nad) = read(&object) {
                    nads().remove(&nad.reference);
                }
            }
        }
    }
}

/// One malformed object is one line in the log; whoever names it is answered by a reading of its own.
fn read(object: &kube::api::DynamicObject) -> Option<Nad> {
    Definition::read(object)
        .map(|d| d.nad)
        .map_err(|error| tracing::warn!(%error, "a definition is passed over"))
        .ok()
}

/// Reads definitions for one review.
pub(super) struct LiveReader<'a> {
    known: &'a KnownDefinitions,
    until: Instant,
}

impl LiveReader<'_> {
    /// All of them at once.
    pub(super) async fn read(&mut self, references: &[NadRef]) -> Vec<(NadRef, Live)> {
        let one = async |reference: &NadRef| {
            let answer = timeout_at(self.until, self.get(reference)).await;
            (reference.clone(), answer.unwrap_or_else(|_| Live::Unknown("no answer in time".to_owned())))
        };
        join_all(references.iter().map(one)).await
    }

    async fn get(&self, reference: &NadRef) -> Live {
        let Ok(_turn) = self.known.readers.acquire().await else {
            return Live::Unknown("the controller ends".to_owned());
        };
        let api = objects::of_namespace(self.known.client.clone(), reference.namespace.as_str());
        match api.get_opt(reference.name.as_str()).await {
            Ok(None) => Live::Missing,
            Ok(Some(object)) => match Definition::read(&object) {
                Ok(definition) => Live::Here(Box::new(definition.nad)),
                Err(error) => Live::Unknown(error.to_string()),
            },
            Err(error) => Live::Unknown(error.to_string()),
        }
    }
}
