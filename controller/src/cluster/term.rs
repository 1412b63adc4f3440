//! A term of leadership: who holds one may write, and only for as long as the Lease is surely ours.

use std::time::Instant;

use tokio::sync::watch;

/// Until when the Lease is ours, by the monotonic clock. `None`: it is lost, or was given back.
#[derive(Clone, Debug)]
pub struct Term(watch::Receiver<Option<Instant>>);

impl Term {
    /// The sender extends the term at every renewal, and ends it with `None`.
    pub fn new(until: Instant) -> (watch::Sender<Option<Instant>>, Self) {
        let (sender, receiver) = watch::channel(Some(until));
        (sender, Self(receiver))
    }

    /// Asked before each write: a leader that slept through its Lease must not act on what it knew.
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Returns when the term is over.
    pub async fn ended(&mut self) {
        // A sender that is gone ends it too.
        let _ = self.0.wait_for(Option::is_none).await;
    }
}
