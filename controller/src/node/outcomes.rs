//! What the shim did, told to people: the spool of outcomes becomes events on pods and metrics.

use std::path::PathBuf;
use std::time::Duration;

use manifold_ledger::spool::{Batch, NetworkOutcome, Outcome, Spool};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::metrics::{Ended, Lost, Metrics, Verb};
use crate::context::Stop;
use crate::events::{About, Events, Reason, Severity};

/// Without being told of changes.
const SLOW: Duration = Duration::from_secs(5);
/// What comes within this time is read together.
const TOGETHER: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Outcomes {
    pub state_dir: PathBuf,
    pub metrics: Metrics,
    pub events: Events,
}

impl Outcomes {
    /// Reads until it is time to end. `nudge`: the spool changed.
    pub async fn run(self, nudge: &Notify, mut stop: Stop) {
        loop {
            while self.one_batch().await {}
            tokio::select! {
                () = stop.asked() => return,
                () = sleep(SLOW) => {}
                () = nudge.notified() => sleep(TOGETHER).await,
            }
        }
    }

    /// Whether there was one.
    async fn one_batch(&self) -> bool {
        let spool = Spool::new(&self.state_dir);
        let batch = match tokio::task::spawn_blocking(move || spool.take()).await {
            Ok(Ok(Some(batch))) => batch,
            Ok(Err(why)) => {
                tracing::warn!("the outcomes of calls cannot be read: {why}");
                return false;
            }
            _ => return false,
        };
        self.tell(&batch).await;
        match batch.done() {
            Ok(()) => true,
            Err(why) => {
                tracing::warn!(
                    "the outcomes of calls cannot be removed from the spool and will be reported again: {why}"
                );
                false
            }
        }
    }

    async fn tell(&self, batch: &Batch) {
        self.metrics.lost(Lost::Dropped, batch.dropped);
        self.metrics.lost(Lost::Damaged, batch.damaged);
        for outcome in &batch.outcomes {
            self.count(outcome);
            let Some((severity, reason, sentence)) = sentence(outcome) else { continue };
            let Some(about) = pod(outcome) else { continue };
            self.events.tell(&about, severity, reason, &sentence).await;
        }
    }

    fn count(&self, outcome: &Outcome) {
        let Some(verb) = verb(outcome) else { return self.metrics.lost(Lost::Damaged, 1) };
        self.metrics.call(verb, ended(outcome), seconds(outcome.duration_ms));
        for network in &outcome.networks {
            let ended = if network.code == 0 { Ended::Success } else { Ended::Failed };
            self.metrics.network(verb, &network.network, ended);
            if ended == Ended::Success && !network.kind.is_empty() {
                self.metrics.network_took(verb, &network.kind, seconds(network.duration_ms));
            }
        }
    }
}

fn seconds(millis: u64) -> f64 {
    f64::from(u32::try_from(millis).unwrap_or(u32::MAX)) / 1000.0
}

fn verb(outcome: &Outcome) -> Option<Verb> {
    match outcome.verb.as_str() {
        "ADD" => Some(Verb::Add),
        "DEL" => Some(Verb::Del),
        _ => None,
    }
}

fn ended(outcome: &Outcome) -> Ended {
    match outcome.outcome.as_str() {
        "superseded" => Ended::Superseded,
        "parked" => Ended::Parked,
        _ if outcome.code != 0 => Ended::Failed,
        _ => Ended::Success,
    }
}

fn pod(outcome: &Outcome) -> Option<About> {
    Some(About::Pod {
        namespace: outcome.namespace.clone()?,
        name: outcome.pod.clone()?,
        uid: outcome.uid.clone().unwrap_or_default(),
    })
}

/// What people are told: what a pod got besides the default network, and everything that failed.
fn sentence(outcome: &Outcome) -> Option<(Severity, Reason, String)> {
    let message = plain(&outcome.message);
    match (verb(outcome)?, ended(outcome)) {
        (Verb::Add, Ended::Success) if outcome.networks.len() > 1 => {
            let each: Vec<String> = outcome.networks.iter().map(attached).collect();
            Some((Severity::Normal, Reason::NetworksAttached, format!("attached: {}", each.join("; "))))
        }
        (Verb::Add, Ended::Failed) => Some((Severity::Warning, Reason::NetworksNotAttached, message)),
        (Verb::Del, Ended::Failed) => Some((Severity::Warning, Reason::NetworksNotDetached, message)),
        (Verb::Del, Ended::Parked) => {
            let sentence = format!("given up for now and retried every hour: {message}");
            Some((Severity::Warning, Reason::NetworksNotDetached, sentence))
        }
        _ => None,
    }
}

/// Without characters that would move the cursor of whoever reads it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn attached(network: &NetworkOutcome) -> String {
    let name = plain(&network.network);
    match network.ips.is_empty() {
        true => format!("{} to `{name}`", network.ifname),
        false => format!("{} to `{name}` ({})", network.ifname, network.ips.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verb: &str, kind: &str, code: u32, networks: usize) -> Outcome {
        let network = |n: usize| NetworkOutcome {
            network: format!("shop/net-{n}"),
            ifname: format!("net{n}"),
            ips: vec!["10.1.0.2/24".into()],
            ..NetworkOutcome::default()
        };
        Outcome {
            verb: verb.into(),
            outcome: kind.into(),
            code,
            message: if code == 0 { String::new() } else { "no address is left".into() },
            networks: (0..networks).map(network).collect(),
            ..Outcome::default()
        }
    }

    #[track_caller]
    fn check(outcome: &Outcome, expected: Option<(Reason, &str)>) {
        let told = sentence(outcome);
        match (&told, expected) {
            (None, None) => {}
            (Some((_, reason, text)), Some((wanted, words))) => {
                assert!(*reason == wanted && text.contains(words), "{told:?}");
            }
            _ => panic!("{told:?}"),
        }
    }

    #[test]
    fn people_are_told_of_networks_and_of_failures_and_not_of_plain_pods() {
        check(&outcome("ADD", "published", 0, 1), None);
        check(
            &outcome("ADD", "published", 0, 2),
            Some((Reason::NetworksAttached, "net1 to `shop/net-1` (10.1.0.2/24)")),
        );
        check(&outcome("ADD", "failed", 7, 0), Some((Reason::NetworksNotAttached, "no address is left")));
        check(&outcome("ADD", "superseded", 0, 3), None);
        check(&outcome("DEL", "success", 0, 3), None);
        check(&outcome("DEL", "failed", 11, 3), Some((Reason::NetworksNotDetached, "no address is left")));
        check(&outcome("DEL", "parked", 11, 3), Some((Reason::NetworksNotDetached, "every hour")));
        check(&outcome("MELT", "success", 0, 3), None);
    }
}
