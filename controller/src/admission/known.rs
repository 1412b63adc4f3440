//! The definitions that reviews of pods are made with: from a watch, and one by one from the API server where they count.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, pin_mut};
use kube::Client;
use manifold_crds::{Nad, NadRef};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::context::Stop;
use crate::feed::{Event, feed};
use crate::objects::{self, Definition, Malformed};

/// All reading of one review, however many definitions it takes.
const READING: Duration = Duration::from_millis(900);
/// Definitions being read at one time, for all reviews together: the API server has other work.
const READERS: usize = 32;

/// More than is allowed.
const CONFIG_MOST_BYTES: usize = 128 << 10;

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
        let events = feed(self.client.clone(), objects::source(|_| {}), read);
        pin_mut!(events);
        let mut listed = None;
        loop {
            let event = tokio::select! {
                () = stop.asked() => return,
                event = events.next() => event,
            };
            match event {
                Some(event) => self.take(event, &mut listed),
                None => return,
            }
        }
    }

    /// A list takes the place of everything when it is complete, so nobody ever sees half of one.
    fn take(&self, event: Event<Nad>, listed: &mut Option<BTreeMap<NadRef, Arc<Nad>>>) {
        let nads = || self.nads.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ListBegins => *listed = Some(BTreeMap::new()),
            Event::Listed(nad) => {
                if let Some(list) = listed {
                    list.insert(nad.reference.clone(), Arc::new(nad));
                }
            }
            Event::ListEnds => {
                if let Some(list) = listed.take() {
                    *nads() = list;
                }
            }
            Event::Set(nad) => drop(nads().insert(nad.reference.clone(), Arc::new(nad))),
            Event::Gone(nad) => drop(nads().remove(&nad.reference)),
            Event::Malformed | Event::Interrupted | Event::Resumed => {}
        }
    }
}

/// One malformed object is one line in the log; whoever names it is answered by a reading of its own. A configuration that is
/// larger than any that is allowed is kept as far as its size shows.
fn read(raw: &RawValue) -> Result<Nad, Malformed> {
    let object = serde_json::from_str(raw.get());
    let object = object.map_err(|e| Malformed { reference: "?/?".to_owned(), why: e.to_string() })?;
    let mut nad = Definition::read(&object)?.trimmed()?.nad;
    if let Some(config) = &mut nad.config {
        objects::cut(config, CONFIG_MOST_BYTES);
    }
    Ok(nad)
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
