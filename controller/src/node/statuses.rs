//! Statuses that are not at the API server: those that the shim left to us (plain pods, static pods), those that it could
//! not publish, and those that the controller says are missing. Each is one PATCH of one annotation, in the shim's name.
//!
//! The ledger says what there is to publish; it is read without a lock, and an entry is locked only to note what became of
//! it. So nothing here holds up a pod.

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_crds::nad_status::Unpublished;
use manifold_ledger::{BootId, Entry, Ledger, Stage, Status};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until};

use super::credentials::Shim;
use super::definition::Seen;
use super::late::{Book, Late};
use super::metrics::{Metrics, Publication};
use super::patch::{self, Patched};
use crate::context::Stop;
use crate::events::{About, Events, Reason, Severity};

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Without being told of changes.
const SLOW: Duration = Duration::from_secs(10);
/// Between two PATCHes.
const APART: Duration = Duration::from_millis(50);
/// Between two looks at the ledger because it changed: a look reads every entry, and an ADD changes it several times.
const LOOKS: Duration = Duration::from_millis(500);
/// So many in one go; then the ledger is read again.
const AT_ONCE: usize = 20;
const LOCK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Statuses {
    pub state_dir: std::path::PathBuf,
    pub shim: watch::Receiver<Option<Shim>>,
    pub seen: watch::Receiver<Seen>,
    pub metrics: Metrics,
    pub events: Events,
}

impl Statuses {
    /// Publishes until it is time to end. `nudge`: the ledger changed.
    pub async fn run(mut self, nudge: &Notify, mut stop: Stop) {
        let mut book = Book::default();
        loop {
            let began = tokio::time::Instant::now();
            let next = tokio::select! {
                () = stop.asked() => return,
                next = self.round(&mut book) => next,
            };
            tokio::select! {
                () = stop.asked() => return,
                () = sleep(next.unwrap_or(SLOW).min(SLOW)) => {}
                () = nudge.notified() => sleep_until((began + LOOKS).max(tokio::time::Instant::now() + APART)).await,
                changed = self.seen.changed() => if changed.is_err() { return },
                changed = self.shim.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One look at the ledger; when to look again.
    async fn round(&self, book: &mut Book) -> Option<Duration> {
        let (folder, marked) = (self.state_dir.clone(), self.seen.borrow().republish.clone());
        let read = tokio::task::spawn_blocking(move || late(&folder, &marked)).await;
        let late = read.ok()?.inspect_err(|why| tracing::warn!("the ledger cannot be read: {why}")).ok()?;
        self.metrics.unpublished(late.iter().filter(|one| !one.again).count());
        let now = Instant::now();
        book.keep(&late, now);
        for one in book.overdue(&late, now) {
            self.warn(one).await;
        }
        // Without credentials nothing was tried; they come with news.
        let shim = self.shim.borrow().clone()?;
        let due: Vec<Late> = book.due(&late, now).into_iter().take(AT_ONCE).cloned().collect();
        let is_more = due.len() == AT_ONCE;
        for one in due {
            let became = patch::publish(&shim.client, &one).await;
            book.tried(&one, matches!(became, Patched::Published), Instant::now());
            self.settle(&one, became).await;
            sleep(APART).await;
        }
        if is_more { Some(Duration::ZERO) } else { book.next(Instant::now()) }
    }

    async fn settle(&self, one: &Late, became: Patched) {
        let status = match became {
            Patched::Published => {
                self.metrics.published(Publication::Published);
                Status::Published
            }
            Patched::Superseded => {
                self.metrics.published(Publication::Superseded);
                Status::Superseded
            }
            Patched::Refused => {
                self.metrics.published(Publication::Failed);
                // As the shim says it: whoever renews the token looks for this.
                let mark = self.state_dir.join("credentials/refused");
                let _ = std::fs::write(mark, format!("{}\n", jiff::Timestamp::now()));
                return;
            }
            Patched::Later(why) => {
                tracing::warn!(
                    "the status of pod `{}/{}` is not published yet: {why}",
                    one.namespace,
                    one.name
                );
                return self.metrics.published(Publication::Failed);
            }
        };
        let (folder, one) = (self.state_dir.clone(), one.clone());
        let noted = tokio::task::spawn_blocking(move || note(&folder, &one, status)).await;
        if let Ok(Err(why)) = noted {
            tracing::info!("a published status could not be recorded, so it is published again later: {why}");
        }
    }

    async fn warn(&self, one: &Late) {
        let about = About::Pod {
            namespace: one.namespace.to_string(),
            name: one.name.to_string(),
            uid: one.uid.clone(),
        };
        let sentence = format!(
            "the pod is attached, but its `network-status` is not published yet ({}); check the log of the node agent on its node",
            one.why
        );
        self.events.tell(&about, Severity::Warning, Reason::NetworkStatusNotPublished, &sentence).await;
    }
}

/// What there is to publish: of each pod its newest sandbox of this boot (F-POD-5).
fn late(state_dir: &Path, marked: &[Unpublished]) -> anyhow::Result<Vec<Late>> {
    let Some(ledger) = Ledger::open_existing(state_dir)? else { return Ok(Vec::new()) };
    let boot = BootId::read(Path::new(BOOT))?;
    let mut entries: Vec<Entry> = Vec::new();
    for id in ledger.list()?.entries {
        // What is damaged is set aside by DEL and told about there.
        let Ok(Some(entry)) = ledger.read(&id) else { continue };
        if entry.boot == boot && entry.stage == Stage::Complete {
            entries.push(entry);
        }
    }
    entries.sort_by_key(|entry| entry.created);
    let mut newest: std::collections::BTreeMap<String, Entry> = std::collections::BTreeMap::new();
    for entry in entries {
        if let Some(uid) = entry.pod.as_ref().and_then(|pod| pod.uid.clone()) {
            newest.insert(uid, entry);
        }
    }
    Ok(newest.into_values().filter_map(|entry| Late::of(&entry, marked)).collect())
}

/// Notes what became of it, if the sandbox is still the same.
fn note(state_dir: &Path, one: &Late, status: Status) -> anyhow::Result<()> {
    let Some(ledger) = Ledger::open_existing(state_dir)? else { return Ok(()) };
    let _lock = ledger.lock(&one.container, Instant::now() + LOCK)?;
    let Some(mut opened) = ledger.open_entry(&one.container)? else { return Ok(()) };
    if opened.entry.stage == Stage::Complete && opened.entry.status_text.as_ref() == Some(&one.text) {
        opened.entry.status = status;
        opened.pen.mark(&opened.entry)?;
    }
    Ok(())
}
