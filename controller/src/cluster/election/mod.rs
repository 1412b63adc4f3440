//! Who leads: one holder of a Lease, chosen by nobody but the API server's own check of versions.
//!
//! Times are measured by the own monotonic clock alone. A candidate takes the Lease when it saw no renewal for as long as the
//! holder said that it would last; the holder counts from before it sent its renewal, and stops a retry's length earlier. So
//! a `Term` is over before anybody else can begin one, whatever the wall clocks say.

mod lease;
mod record;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub use lease::Leases;
pub use record::{Record, Seen, Step};

use crate::context::Stop;

use super::term::Term;

/// What the parts of a leader may take to finish a write, once their term is over or the process ends.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// What a task gets that did not end by then.
const ABORT: Duration = Duration::from_millis(500);
/// What giving the Lease back may take at the end.
const GIVE_BACK: Duration = Duration::from_secs(1);

/// One candidate.
#[derive(Debug)]
pub struct Election {
    leases: Leases,
    duration: Duration,
    retry: Duration,
}

/// The Lease, held; and until when that is sure.
struct Held {
    record: Record,
    until: Instant,
}

impl Election {
    pub fn new(leases: Leases, duration: Duration, retry: Duration) -> Self {
        Self { leases, duration, retry }
    }

    /// Calls `lead` for each term, until the process is to stop. The Lease is given back then.
    pub async fn run<L, F>(self, mut stop: Stop, lead: L)
    where
        L: Fn(Term) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        while !stop.is_asked() {
            let held = tokio::select! {
                held = self.campaign() => held,
                () = stop.asked() => return,
            };
            tracing::info!("leads");
            self.reign(held, &mut stop, &lead).await;
            tracing::info!("is no longer the leader");
        }
    }

    /// Returns when the Lease is held.
    async fn campaign(&self) -> Held {
        let mut seen: Option<Seen> = None;
        loop {
            let wait = match self.try_once(&mut seen).await {
                Ok(Some(held)) => return held,
                Ok(None) => {
                    let now = Instant::now();
                    seen.as_ref().map_or(self.retry, |s| s.expires_in(now)).min(self.retry)
                }
                Err(error) => {
                    tracing::warn!("the Lease cannot be read or taken: {error}");
                    self.retry
                }
            };
            sleep(wait).await;
        }
    }

    async fn try_once(&self, last_seen: &mut Option<Seen>) -> Result<Option<Held>, lease::LeaseError> {
        let sent = Instant::now();
        let found = self.bounded(self.leases.read()).await?;
        let Some(found) = found else {
            // Deleted under its holder, who makes it anew with its next renewal and must be given the time.
            let step = last_seen.as_mut().map(|seen| seen.gone(self.leases.identity(), Instant::now()));
            if step == Some(Step::Wait) {
                return Ok(None);
            }
            let made = self.bounded(self.leases.create(self.duration)).await?;
            if made.is_none() {
                *last_seen = Some(Seen::unread(self.duration, Instant::now()));
            }
            return Ok(self.held(sent, made));
        };
        let seen = Seen::follow(last_seen, found);
        if seen.step(self.leases.identity(), Instant::now()) == Step::Wait {
            return Ok(None);
        }
        let sent = Instant::now();
        Ok(self.held(sent, self.bounded(self.leases.take(&seen.record, self.duration)).await?))
    }

    /// `None`: somebody else was quicker.
    fn held(&self, sent: Instant, record: Option<Record>) -> Option<Held> {
        record.map(|record| Held { record, until: sent + self.sure() })
    }

    /// For how long a renewal makes the Lease surely ours, with time left for a write that is under way at the end.
    fn sure(&self) -> Duration {
        self.duration.saturating_sub(self.retry)
    }

    async fn bounded<T>(
        &self,
        request: impl Future<Output = Result<T, lease::LeaseError>>,
    ) -> Result<T, lease::LeaseError> {
        timeout(self.retry, request).await.unwrap_or(Err(lease::LeaseError::Slow(self.retry)))
    }

    async fn reign<L, F>(&self, mut held: Held, stop: &mut Stop, lead: &L)
    where
        L: Fn(Term) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, term) = Term::new(held.until);
        let mut leading = tokio::spawn(lead(term));
        tokio::select! {
            () = self.renew(&mut held, &sender) => {}
            () = stop.asked() => self.let_finish(&mut held, &sender, &mut leading).await,
            _ = &mut leading => self.ended_early(stop).await,
        }
        sender.send_replace(None);
        finish(&mut leading, if stop.is_asked() { ABORT } else { LAST_WRITES }).await;
        if stop.is_asked() {
            self.give_back(&held).await;
        }
    }

    /// Only by a defect, unless the process ends; it must not become a tight loop.
    async fn ended_early(&self, stop: &mut Stop) {
        if !stop.is_asked() {
            tracing::warn!("the leader's work ended before its term; a new term begins");
            let _ = timeout(self.retry, stop.asked()).await;
        }
    }

    /// Returns when the Lease is lost.
    async fn renew(&self, held: &mut Held, sender: &watch::Sender<Option<Instant>>) {
        loop {
            let left = held.until.saturating_duration_since(Instant::now());
            sleep(self.retry.min(left)).await;
            match self.renew_once(held).await {
                Ok(true) => sender.send_replace(Some(held.until)),
                Ok(false) => return tracing::warn!("another replica holds the Lease"),
                Err(error) if Instant::now() < held.until => {
                    tracing::warn!("the Lease is not renewed yet: {error}");
                    continue;
                }
                Err(error) => return tracing::warn!("the Lease is lost: {error}"),
            };
        }
    }

    async fn renew_once(&self, held: &mut Held) -> Result<bool, lease::LeaseError> {
        let sent = Instant::now();
        if sent >= held.until {
            return Err(lease::LeaseError::Late);
        }
        if let Some(record) = self.bounded(self.leases.renew(&held.record, self.duration)).await? {
            *held = Held { record, until: sent + self.sure() };
            return Ok(true);
        }
        // Changed since: by our own renewal whose answer was lost, by somebody's label, or by the next leader.
        let found = self.bounded(self.leases.read()).await?;
        match found.filter(|record| record.is_held_by(self.leases.identity())) {
            None => Ok(false),
            Some(record) => {
                held.record = record;
                Err(lease::LeaseError::Changed)
            }
        }
    }

    /// The process ends: what is being written is finished while the Lease is still renewed.
    async fn let_finish(
        &self,
        held: &mut Held,
        sender: &watch::Sender<Option<Instant>>,
        leading: &mut JoinHandle<()>,
    ) {
        tokio::select! {
            () = self.renew(held, sender) => {}
            _ = timeout(LAST_WRITES, leading) => {}
        }
    }

    async fn give_back(&self, held: &Held) {
        match timeout(GIVE_BACK, self.leases.give_back(&held.record)).await {
            Ok(Ok(true)) => tracing::info!("the Lease is released"),
            Ok(Ok(false)) => tracing::info!("another replica already holds the Lease"),
            Ok(Err(error)) => tracing::warn!("the Lease could not be released: {error}"),
            Err(_) => tracing::warn!("the Lease could not be released in time"),
        }
    }
}

/// A task that outlives its term by more than a write takes is ended, so that no two terms of one process overlap.
async fn finish(leading: &mut JoinHandle<()>, within: Duration) {
    if leading.is_finished() {
        return;
    }
    if timeout(within, &mut *leading).await.is_err() {
        leading.abort();
        let _ = leading.await;
    }
}
