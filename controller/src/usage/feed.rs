//! Everything of one resource, for ever: a list in pages, then a watch, and both again for as long as somebody looks.
//!
//! Objects are read one by one, so that one which nobody can read is one line in the log and not the end of the watch
//! (F-CTL-4). Whatever breaks is mended here, with a growing pause: a watch goes on from the last version seen, and where
//! that is not served any more, or does not come to life, everything is listed again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{AsyncBufReadExt as _, Stream, StreamExt as _};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::objects::Malformed;
use crate::usage::metrics::{Cause, Metrics, Resource};

/// The server ends a watch after this long, and it is begun again: a connection that died in silence is noticed soon.
const WATCH_SECONDS: u32 = 60;
const GRACE: Duration = Duration::from_secs(15);
/// A page that takes longer is asked for again.
const PATIENCE: Duration = Duration::from_secs(20);
/// The head of a watch comes at once, or something is wrong.
const HEAD: Duration = Duration::from_secs(10);
/// A watch that lasts this long is one.
const SETTLED: Duration = Duration::from_secs(1);
const PAGE: u32 = 500;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so many failures in a row the version that the watch goes on from is not trusted any more.
const DISTRUST: u32 = 4;

/// What to list and watch.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) resource: Resource,
    pub(super) path: String,
    pub(super) fields: Option<&'static str>,
    pub(super) metadata_only: bool,
}

/// What happens to the objects of a resource.
#[derive(Debug)]
pub(super) enum Event<T> {
    ListBegins,
    Listed(T),
    ListEnds,
    Set(T),
    Gone(T),
    /// An object that could not be read, and is told already.
    Malformed,
    /// What was told may be out of date now.
    Interrupted,
    /// What was told is up to date again, as far as the server tells.
    Resumed,
}

pub(super) type Read<T> = fn(&RawValue) -> Result<T, Malformed>;

/// Never ends. Dropping it in the middle of anything is fine.
pub(super) fn feed<T: Send + 'static>(
    client: Client,
    source: Source,
    read: Read<T>,
    metrics: Metrics,
) -> impl Stream<Item = Event<T>> {
    let feed = Feed {
        client,
        source,
        read,
        metrics,
        state: State::Begin,
        failures: 0,
        resume: None,
        is_broken: false,
        told: None,
    };
    futures::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await;
        Some((event, feed))
    })
}

struct Feed<T> {
    client: Client,
    source: Source,
    read: Read<T>,
    metrics: Metrics,
    state: State,
    failures: u32,
    /// Nothing is asked before.
    resume: Option<Instant>,
    is_broken: bool,
    /// Something to tell before anything else is done.
    told: Option<Event<T>>,
}

enum State {
    Begin,
    Page { more: Option<String>, items: VecDeque<Box<RawValue>>, version: Option<String> },
    Watch { version: String, lines: Option<Lines> },
}

struct Lines {
    lines: BoxStream<'static, std::io::Result<String>>,
    began: Instant,
    said_anything: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The one thing that every object of a watch has, bookmarks included.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl<T> Feed<T> {
    async fn next(&mut self) -> Event<T> {
        loop {
            if let Some(event) = self.told.take() {
                return event;
            }
            self.pause().await;
            let (event, state) = match std::mem::replace(&mut self.state, State::Begin) {
                State::Begin => (
                    Some(Event::ListBegins),
                    State::Page { more: None, items: VecDeque::new(), version: None },
                ),
                State::Page { more, items, version } => self.page(more, items, version).await,
                State::Watch { version, lines } => self.watch(version, lines).await,
            };
            self.state = state;
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn pause(&mut self) {
        if let Some(until) = self.resume.take() {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    async fn page(
        &mut self,
        more: Option<String>,
        mut items: VecDeque<Box<RawValue>>,
        version: Option<String>,
    ) -> (Option<Event<T>>, State) {
        if let Some(item) = items.pop_front() {
            let event = self.read(&item, Event::Listed);
            return (Some(event), State::Page { more, items, version });
        }
        if let (None, Some(version)) = (&more, version) {
            return (Some(Event::ListEnds), State::Watch { version, lines: None });
        }
        match self.ask_page(more).await {
            Ok(Page { metadata, items }) => {
                self.works();
                let filled = |text: &String| !text.is_empty();
                // A list without a version could not be watched from; an old one would do no harm.
                let version = metadata.resource_version.filter(filled).unwrap_or_else(|| "0".to_owned());
                let items = items.unwrap_or_default().into();
                (
                    None,
                    State::Page { more: metadata.r#continue.filter(filled), items, version: Some(version) },
                )
            }
            Err(why) => {
                self.failed(Cause::ListFailed, &why);
                (None, State::Begin)
            }
        }
    }

    async fn ask_page(&mut self, more: Option<String>) -> Result<Page, String> {
        let params = ListParams {
            limit: Some(PAGE),
            continue_token: more,
            field_selector: self.source.fields.map(str::to_owned),
            ..ListParams::default()
        };
        let request = Request::new(&*self.source.path);
        let request = match self.source.metadata_only {
            true => request.list_metadata(&params),
            false => request.list(&params),
        };
        let request = request.map_err(|e| e.to_string())?;
        let text = tokio::time::timeout(PATIENCE, self.client.request_text(request)).await;
        let text = text.map_err(|_| format!("no answer in {PATIENCE:?}"))?.map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| format!("the list cannot be read: {e}"))
    }

    async fn watch(&mut self, version: String, lines: Option<Lines>) -> (Option<Event<T>>, State) {
        let mut lines = match lines {
            Some(lines) => lines,
            None => match self.ask_watch(&version).await {
                Ok(lines) => lines,
                Err((code, why)) => return (None, self.watch_failed(version, code, &why)),
            },
        };
        let quiet = match self.is_broken {
            true => SETTLED,
            false => Duration::from_secs(WATCH_SECONDS.into()) + GRACE,
        };
        match tokio::time::timeout(quiet, lines.lines.next()).await {
            Ok(Some(Ok(line))) => {
                lines.said_anything = true;
                self.line(&line, version, lines)
            }
            Ok(Some(Err(why))) => (None, self.watch_failed(version, 0, &why.to_string())),
            // Watches end; one that ends before it said a word may be no watch at all.
            Ok(None) if !lines.said_anything && lines.began.elapsed() < SETTLED => {
                (None, self.watch_failed(version, 0, "it ended at once"))
            }
            Ok(None) => (None, State::Watch { version, lines: None }),
            // In a quiet cluster it has nothing to say.
            Err(_) if self.is_broken => {
                self.works();
                (None, State::Watch { version, lines: Some(lines) })
            }
            Err(_) => (None, self.watch_failed(version, 0, "it said nothing for too long")),
        }
    }

    async fn ask_watch(&mut self, version: &str) -> Result<Lines, (u16, String)> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.field_selector = self.source.fields.map(str::to_owned);
        let request = Request::new(&*self.source.path);
        let request = match self.source.metadata_only {
            true => request.watch_metadata(&params, version),
            false => request.watch(&params, version),
        };
        let request = request.map_err(|e| (0, e.to_string()))?;
        let stream = tokio::time::timeout(HEAD, self.client.request_stream(request)).await;
        match stream.map_err(|_| (0, format!("no answer in {HEAD:?}")))? {
            Ok(stream) => {
                let lines = Box::pin(stream).lines().boxed();
                Ok(Lines { lines, began: Instant::now(), said_anything: false })
            }
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(other) => Err((0, other.to_string())),
        }
    }

    fn line(&mut self, line: &str, version: String, lines: Lines) -> (Option<Event<T>>, State) {
        let Ok(Line { r#type, object }) = serde_json::from_str(line) else {
            return (None, self.watch_failed(version, 0, "a line of it is not an event"));
        };
        if r#type == "ERROR" {
            let failure = serde_json::from_str(object.get());
            let Failure { code, message } = failure.unwrap_or(Failure { code: 0, message: String::new() });
            return (None, self.watch_failed(version, code, &message));
        }
        self.works();
        let seen = serde_json::from_str::<Versioned>(object.get()).map(|v| v.metadata.resource_version);
        let version = seen.ok().filter(|v| !v.is_empty()).unwrap_or(version);
        let event = match r#type {
            "ADDED" | "MODIFIED" => Some(self.read(object, Event::Set)),
            "DELETED" => Some(self.read(object, Event::Gone)),
            _ => None,
        };
        (event, State::Watch { version, lines: Some(lines) })
    }

    fn read(&self, object: &RawValue, event: fn(T) -> Event<T>) -> Event<T> {
        match (self.read)(object) {
            Ok(object) => event(object),
            Err(malformed) => {
                self.metrics.malformed(self.source.resource);
                tracing::warn!(resource = ?self.source.resource, "{malformed}");
                Event::Malformed
            }
        }
    }

    fn watch_failed(&mut self, version: String, code: u16, why: &str) -> State {
        let is_gone = code == 410;
        self.failed(if is_gone { Cause::VersionGone } else { Cause::WatchFailed }, why);
        match is_gone || self.failures >= DISTRUST {
            true => State::Begin,
            false => State::Watch { version, lines: None },
        }
    }

    fn works(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_broken) {
            self.told = Some(Event::Resumed);
        }
    }

    fn failed(&mut self, cause: Cause, why: &str) {
        self.metrics.watch_restarted(self.source.resource, cause);
        tracing::warn!(resource = ?self.source.resource, ?cause, "the watch is begun again: {why}");
        if !std::mem::replace(&mut self.is_broken, true) {
            self.told = Some(Event::Interrupted);
        }
        self.resume = Some(Instant::now() + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

/// Doubles, with up to half more, so that replicas and resources do not come back all at once.
pub(super) fn pause(failures: u32) -> Duration {
    let base = SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    // The clock's last digits are chance enough.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    base + base.mul_f64(f64::from(now.subsec_nanos() % 1000) / 2000.0)
}
