//! Posts what was told, one after another, no faster than the API server should be asked.

use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::objects::FIELD_MANAGER;

use super::object::{event, namespace};
use super::series::{Book, Series};
use super::{Message, Metrics, Outcome, Told};

const WRITE: Duration = Duration::from_secs(5);
/// How often series are looked at.
const TICK: Duration = Duration::from_secs(10);
/// Events a second, when many are told at once.
const RATE: u32 = 20;

pub(super) struct Poster {
    client: Client,
    replica: String,
    metrics: Metrics,
    book: Book,
}

impl Poster {
    pub(super) fn new(client: Client, replica: &str, metrics: Metrics) -> Self {
        Self { client, replica: replica.to_owned(), metrics, book: Book::default() }
    }

    /// Returns when nobody can tell any more.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = waiting.recv() => match message {
                    Some(Message::Tell(told)) => self.tell(told).await,
                    Some(Message::Flush(done)) => {
                        self.report(true).await;
                        let _ = done.send(());
                    }
                    None => return self.report(true).await,
                },
                _ = tick.tick() => self.report(false).await,
            }
        }
    }

    async fn tell(&mut self, told: Told) {
        if self.book.again(&told, Instant::now()) {
            return;
        }
        let event = event(&told, &self.replica, Timestamp::now());
        let name = event.metadata.name.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace(&told.about));
        let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match timeout(WRITE, api.create(&how, &event)).await {
            Ok(Ok(_)) => {
                self.metrics.count(Outcome::Posted);
                self.book.posted(told, name, Instant::now());
            }
            Ok(Err(error)) => self.failed(&told, &error.to_string()),
            Err(_) => self.failed(&told, "no answer in time"),
        }
        sleep(Duration::from_secs(1) / RATE).await;
    }

    async fn report(&mut self, all: bool) {
        for (told, series) in self.book.due(Instant::now(), all) {
            self.count_up(&told, &series).await;
        }
    }

    async fn count_up(&mut self, told: &Told, series: &Series) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace(&told.about));
        let last = k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::now());
        let patch = json!({"series": {"count": series.count, "lastObservedTime": last}});
        let how = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match timeout(WRITE, api.patch(&series.name, &how, &Patch::Merge(&patch))).await {
            Ok(Ok(_)) => self.metrics.count(Outcome::Counted),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => self.book.forget(told),
            Ok(Err(error)) => self.failed(told, &error.to_string()),
            Err(_) => self.failed(told, "no answer in time"),
        }
    }

    fn failed(&self, told: &Told, why: &str) {
        self.metrics.count(Outcome::Failed);
        tracing::warn!(about = ?told.about, reason = ?told.reason, "an event is not posted ({why}): {}", told.sentence);
    }
}
