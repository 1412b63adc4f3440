//! A leader at work in this process, with a term that the test holds. `usage` and `addresses` say what it leads.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use manifold_controller::cluster::term::Term;
use manifold_controller::context::Stop;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

/// The thread that leads. Dropped, it ends in good order, and a panic in it becomes the test's.
pub(crate) struct LeaderThread {
    term: watch::Sender<Option<Instant>>,
    stop: watch::Sender<bool>,
    registry: Registry,
    thread: Option<JoinHandle<()>>,
}

impl LeaderThread {
    /// `register` makes the metrics that `lead` is given with its term, which ends at `end`.
    pub(crate) fn start<M: Send + 'static>(
        end: Instant,
        register: impl FnOnce(&mut Registry) -> M,
        lead: impl FnOnce(M, Term, Stop) + Send + 'static,
    ) -> Self {
        let (term_sender, term) = Term::new(end);
        let (stop_sender, stop) = Stop::new();
        let mut registry = Registry::default();
        let metrics = register(&mut registry);
        let thread = thread::spawn(move || lead(metrics, term, stop));
        Self { term: term_sender, stop: stop_sender, registry, thread: Some(thread) }
    }

    /// What all series of this metric add up to, those whose labels have `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name) && line.contains(label);
        text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Takes the term away, as another leader would.
    pub(crate) fn lose_term(&self) {
        self.term.send_replace(None);
    }

    /// Whether it came to its end by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for LeaderThread {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
