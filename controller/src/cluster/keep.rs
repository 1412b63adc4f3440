//! Keeps one object as it should be: watched by name, judged by a pure function, mended with a pace that slows against a rival.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use tokio::time::{sleep_until, timeout};

use crate::context::Stop;

use super::metrics::{Kind, Metrics, Outcome};
use super::term::Term;
use crate::pace::{self, Pace};

/// A write that is not answered by then is made again.
const WRITE: Duration = Duration::from_secs(10);

/// What is kept.
pub trait Kept: Send + Sync {
    const KIND: Kind;

    fn api(&self) -> Api<DynamicObject>;

    fn name(&self) -> &str;

    /// What is wrong with it, in words; `None`: nothing that we can mend.
    fn wrong(&self, live: Option<&DynamicObject>) -> Option<String>;

    /// Writes it as it should be; what is stored then is the answer. `None`: it is gone.
    fn mend(
        &self,
        live: Option<&DynamicObject>,
    ) -> impl Future<Output = Result<Option<DynamicObject>, kube::Error>> + Send;

    /// Somebody had changed or deleted it, and it is as it was.
    fn mended(&self, now: &DynamicObject, wrong: &str) -> impl Future<Output = ()> + Send;

    /// Told of every state that is seen.
    fn seen(&self, _live: Option<&DynamicObject>) {}
}

/// Returns when the term or the process ends.
pub async fn keep<K: Kept>(kept: &K, metrics: &Metrics, mut term: Term, mut stop: Stop) {
    let mut ended = term.clone();
    tokio::select! {
        () = ended.ended() => {}
        // What is being written is finished: `watch_and_mend` looks for the end between its writes.
        () = watch_and_mend(kept, metrics, &mut term, &mut stop) => {}
    }
}

async fn watch_and_mend<K: Kept>(kept: &K, metrics: &Metrics, term: &mut Term, stop: &mut Stop) {
    let watch = watch_object(kept.api(), kept.name()).backoff(WatchPace::default());
    futures::pin_mut!(watch);
    let mut keeper = Keeper { kept, metrics, live: None, due: None, pace: Pace::default(), was_there: false };
    loop {
        let due = keeper.due;
        tokio::select! {
            () = stop.asked() => return,
            event = watch.next() => match event {
                Some(Ok(live)) => keeper.look(live),
                Some(Err(error)) => tracing::warn!("the watch of `{}` restarts: {error}", kept.name()),
                None => return,
            },
            () = at(due) => {
                if !term.holds() {
                    return;
                }
                keeper.act().await;
            }
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

struct Keeper<'a, K> {
    kept: &'a K,
    metrics: &'a Metrics,
    live: Option<DynamicObject>,
    due: Option<Instant>,
    pace: Pace,
    /// Whether it existed before: then its absence is somebody's doing, and no first start.
    was_there: bool,
}

impl<K: Kept> Keeper<'_, K> {
    fn look(&mut self, live: Option<DynamicObject>) {
        self.was_there |= live.is_some();
        self.live = live;
        self.kept.seen(self.live.as_ref());
        self.plan(pace::SLOW);
    }

    fn plan(&mut self, limit: Duration) {
        let now = Instant::now();
        let wrong = self.kept.wrong(self.live.as_ref());
        self.due = wrong.map(|_| self.due.unwrap_or_else(|| now + self.pace.delay(now, limit)));
    }

    async fn act(&mut self) {
        self.due = None;
        let Some(wrong) = self.kept.wrong(self.live.as_ref()) else { return };
        let mended = timeout(WRITE, self.kept.mend(self.live.as_ref())).await;
        self.pace.done(Instant::now());
        match mended {
            Ok(Ok(now)) => self.succeeded(now, &wrong).await,
            Ok(Err(error)) => self.failed(&wrong, &error.to_string(), limit(&error)),
            Err(_) => self.failed(&wrong, "no answer in time", pace::SOON),
        }
    }

    async fn succeeded(&mut self, now: Option<DynamicObject>, wrong: &str) {
        let first = !self.was_there;
        self.metrics.kept(K::KIND, if first { Outcome::Made } else { Outcome::Restored });
        if let (false, Some(now)) = (first, &now) {
            tracing::warn!("`{}` is restored: {wrong}", self.kept.name());
            self.kept.mended(now, wrong).await;
        }
        self.look(now);
    }

    fn failed(&mut self, wrong: &str, why: &str, limit: Duration) {
        tracing::warn!("`{}` cannot be restored yet ({wrong}): {why}", self.kept.name());
        self.metrics.kept(K::KIND, Outcome::Failed);
        self.plan(limit);
    }
}

fn limit(error: &kube::Error) -> Duration {
    match error {
        // Another writer was quicker: the watch brings what it wrote.
        kube::Error::Api(status) if status.code == 409 || status.code == 429 || status.code >= 500 => {
            pace::SOON
        }
        kube::Error::Api(_) => pace::SLOW,
        _ => pace::SOON,
    }
}

/// A watch that fails begins anew within seconds: what it would bring is what we are here to mend.
#[derive(Debug, Default)]
struct WatchPace(u32);

impl Iterator for WatchPace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0 = self.0.saturating_add(1);
        Some(Duration::from_millis(250 << self.0.min(4)))
    }
}

impl kube::runtime::utils::Backoff for WatchPace {
    fn reset(&mut self) {
        self.0 = 0;
    }
}
