//! What a finished call leaves in the spool for the node agent: one line, from which events and metrics are made.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use manifold_cni::{Attachment, CniError};

use crate::shim::Shim;
use crate::undo::Undone;
use manifold_ledger::spool::{NetworkOutcome, Outcome, Spool};
use manifold_ledger::{Entry, State};

/// Which verb a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Add,
    Del,
}

/// Appends the line. The spool is a courtesy: where it cannot be written the call itself is not touched by it.
pub fn note(shim: &Shim, began: Instant, mut outcome: Outcome) {
    outcome.time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    outcome.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Err(e) = Spool::new(&shim.config.state_dir).append(&outcome) {
        tracing::warn!("the outcome is not spooled: {e}");
    }
}

/// The line of a sandbox that was taken down.
pub fn of_undo(entry: &Entry, done: &Undone, parked: bool) -> Outcome {
    let mut line = of_entry(Verb::Del, entry);
    match done {
        Undone::Clean => line.outcome = "success".into(),
        Undone::Left(error) => {
            line.outcome = if parked { "parked" } else { "failed" }.into();
            line.code = error.code;
            line.message = error.to_string();
        }
    }
    line
}

/// The line of an ADD that attached everything. `published` says what became of the status.
pub fn of_add(entry: &Entry, published: &str) -> Outcome {
    Outcome { outcome: published.into(), ..of_entry(Verb::Add, entry) }
}

/// The line of an ADD that failed, with or without an entry.
pub fn of_failed_add(entry: Option<&Entry>, at: &Attachment, error: &CniError) -> Outcome {
    let line = match entry {
        Some(entry) => of_entry(Verb::Add, entry),
        None => of_arguments(at),
    };
    Outcome { outcome: "failed".into(), code: error.code, message: error.to_string(), ..line }
}

/// Refused before anything was recorded: the pod is the one that the runtime named, so that people are told on it (F-POD-1).
fn of_arguments(at: &Attachment) -> Outcome {
    let value = |key| at.args.get(key).filter(|v| !v.is_empty()).map(str::to_owned);
    Outcome {
        verb: "ADD".into(),
        container: at.container.to_string(),
        namespace: value("K8S_POD_NAMESPACE"),
        pod: value("K8S_POD_NAME"),
        uid: value("K8S_POD_UID"),
        ..Outcome::default()
    }
}

fn of_entry(verb: Verb, entry: &Entry) -> Outcome {
    let pod = entry.pod.as_ref();
    Outcome {
        verb: match verb {
            Verb::Add => "ADD".into(),
            Verb::Del => "DEL".into(),
        },
        container: entry.container.to_string(),
        namespace: pod.map(|p| p.namespace.clone()),
        pod: pod.map(|p| p.name.clone()),
        uid: pod.and_then(|p| p.uid.clone()),
        networks: entry.attachments.iter().map(|a| network(verb, a)).collect(),
        ..Outcome::default()
    }
}

fn network(verb: Verb, attachment: &manifold_ledger::Recorded) -> NetworkOutcome {
    let done = match verb {
        Verb::Add => attachment.state == State::Attached,
        Verb::Del => attachment.state == State::Detached,
    };
    NetworkOutcome {
        network: attachment.display.clone(),
        ifname: attachment.ifname.to_string(),
        kind: attachment.plugins.first().map(|plugin| plugin.kind.to_string()).unwrap_or_default(),
        duration_ms: attachment.took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        code: if done { 0 } else { manifold_cni::code::FAILED },
        ips: addresses(attachment),
        ..NetworkOutcome::default()
    }
}

fn addresses(attachment: &manifold_ledger::Recorded) -> Vec<String> {
    let parsed = attachment
        .result
        .as_ref()
        .and_then(|raw| manifold_cni::CniResult::parse(raw.as_slice(), attachment.version).ok());
    parsed.map(|(result, _)| result.ips.iter().map(|ip| ip.address.to_string()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use manifold_cni::{Call, Target};

    use super::*;

    #[test]
    fn a_refusal_before_anything_is_recorded_names_the_pod_that_the_runtime_named() {
        let variable = |key: &str| {
            let value = match key {
                "CNI_COMMAND" => "ADD",
                "CNI_CONTAINERID" => "c1",
                "CNI_NETNS" => "/run/netns/x",
                "CNI_IFNAME" => "eth0",
                "CNI_PATH" => "/opt/cni/bin",
                "CNI_ARGS" => "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7;K8S_POD_UID=u-1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let Target::Add(at) = Call::from_env(variable).unwrap().target else { panic!("an ADD") };
        let line = of_failed_add(None, &at, &CniError::config("there is no such network"));
        let told = (line.namespace.as_deref(), line.pod.as_deref(), line.uid.as_deref());
        assert_eq!(told, (Some("shop"), Some("cart-7"), Some("u-1")));
        assert_eq!((line.outcome.as_str(), line.code), ("failed", 7));
    }
}
