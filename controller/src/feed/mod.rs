//! Everything of one resource, for ever: a list in pages, then a watch, and both again for as long as somebody looks.
//!
//! Objects are read one by one, so that one which nobody can read is one line in the log and not the end of the watch
//! (F-CTL-4), and while they arrive, so that no list is ever held as a whole (F-CTL-9): `items.rs` takes a page apart, `lines.rs`
//! a watch, and the reader keeps of each object what it needs. Whatever breaks is mended here, with a growing pause: a watch goes
//! on from the last version seen, and where that is not served any more, or does not come to life, everything is listed again.

mod items;
mod lines;
mod page;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use kube::Client;
use serde_json::value::RawValue;

use crate::closed::label;
use crate::objects::Malformed;
use items::{Item, Metadata};
use lines::Lines;
use page::{FIRST_LIMIT, Next, Page};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

label! {
    /// Why a list or a watch had to be begun again.
    pub(crate) enum Cause {
        ListFailed,
        WatchFailed,
        /// The version to go on from is not served any more (410).
        VersionGone,
    }
}

/// What did not go as it should, and is in the log already.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Malformed,
    Restarted(Cause),
}

/// What to list and watch.
#[derive(Clone)]
pub(crate) struct Source {
    /// As the log names it.
    pub(crate) resource: &'static str,
    pub(crate) path: String,
    pub(crate) fields: Option<&'static str>,
    /// A label selector.
    pub(crate) labels: Option<String>,
    pub(crate) metadata_only: bool,
    /// Who counts it.
    pub(crate) told: Arc<dyn Fn(Trouble) + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What happens to the objects of a resource.
#[derive(Debug)]
pub(crate) enum Event<T> {
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

/// What is kept of an object.
pub(crate) type Read<T> = Arc<dyn Fn(&RawValue) -> Result<T, Malformed> + Send + Sync>;

/// Never ends. Dropping it in the middle of anything is fine.
pub(crate) fn feed<T: Send + 'static>(
    client: Client,
    source: Source,
    read: impl Fn(&RawValue) -> Result<T, Malformed> + Send + Sync + 'static,
) -> impl Stream<Item = Event<T>> {
    let feed = Feed {
        client,
        source,
        read: Arc::new(read),
        state: State::Begin,
        limit: FIRST_LIMIT,
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
    state: State,
    /// Objects that a page is asked for with.
    limit: u32,
    failures: u32,
    /// Nothing is asked before.
    resume: Option<Instant>,
    is_broken: bool,
    /// Something to tell before anything else is done.
    told: Option<Event<T>>,
}

enum State {
    Begin,
    /// The page that is being read, or the one that comes after this token.
    Page {
        more: Option<String>,
        page: Option<Page>,
    },
    Watch {
        version: String,
        lines: Option<Lines>,
    },
}

impl<T> Feed<T> {
    async fn next(&mut self) -> Event<T> {
        loop {
            if let Some(event) = self.told.take() {
                return event;
            }
            self.pause().await;
            let (event, state) = match std::mem::replace(&mut self.state, State::Begin) {
                State::Begin => (Some(Event::ListBegins), State::Page { more: None, page: None }),
                State::Page { more, page } => self.page(more, page).await,
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

    async fn page(&mut self, more: Option<String>, page: Option<Page>) -> (Option<Event<T>>, State) {
        match self.next_of_page(&more, page).await {
            Ok((page, Next::Item(item))) => {
                let event = match item {
                    Item::Text(text) => self.read(&text, Event::Listed),
                    Item::TooLarge => self.malformed("an object of the list is too large"),
                };
                (Some(event), State::Page { more, page: Some(page) })
            }
            // What was told of it already is told again, which does no harm.
            Ok((page, Next::TooLarge)) => {
                self.limit = page.next_limit(self.limit);
                (None, State::Page { more, page: None })
            }
            Ok((page, Next::End(metadata))) => {
                self.works();
                self.limit = page.next_limit(self.limit);
                after_page(metadata)
            }
            Err(why) => {
                // It may have been too much for the time.
                self.limit = FIRST_LIMIT.min((self.limit / 2).max(1));
                self.failed(Cause::ListFailed, &why);
                (None, State::Begin)
            }
        }
    }

    async fn next_of_page(
        &mut self,
        more: &Option<String>,
        page: Option<Page>,
    ) -> Result<(Page, Next), String> {
        let mut page = match page {
            Some(page) => page,
            None => Page::ask(&self.client, &self.source, self.limit, more.clone()).await?,
        };
        let next = page.next().await?;
        Ok((page, next))
    }

    fn read(&self, object: &[u8], event: fn(T) -> Event<T>) -> Event<T> {
        match serde_json::from_slice(object).map(|object| (self.read)(object)) {
            Ok(Ok(object)) => event(object),
            Ok(Err(malformed)) => self.malformed(&malformed.to_string()),
            Err(error) => self.malformed(&format!("an object is not JSON: {error}")),
        }
    }

    fn malformed(&self, why: &str) -> Event<T> {
        (self.source.told)(Trouble::Malformed);
        tracing::warn!(resource = self.source.resource, "{why}");
        Event::Malformed
    }

    fn works(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_broken) {
            self.told = Some(Event::Resumed);
        }
    }

    fn failed(&mut self, cause: Cause, why: &str) {
        (self.source.told)(Trouble::Restarted(cause));
        tracing::warn!(resource = self.source.resource, ?cause, "the watch restarts: {why}");
        if !std::mem::replace(&mut self.is_broken, true) {
            self.told = Some(Event::Interrupted);
        }
        self.resume = Some(Instant::now() + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

fn after_page<T>(Metadata { resource_version, r#continue }: Metadata) -> (Option<Event<T>>, State) {
    let filled = |text: &String| !text.is_empty();
    if let more @ Some(_) = r#continue.filter(filled) {
        return (None, State::Page { more, page: None });
    }
    // A list without a version could not be watched from; an old one would do no harm.
    let version = resource_version.filter(filled).unwrap_or_else(|| "0".to_owned());
    (Some(Event::ListEnds), State::Watch { version, lines: None })
}

/// Doubles, with up to half more, so that replicas and resources do not come back all at once.
pub(crate) fn pause(failures: u32) -> Duration {
    let base = SHORTEST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    // The clock's last digits are chance enough.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    base + base.mul_f64(f64::from(now.subsec_nanos() % 1000) / 2000.0)
}
