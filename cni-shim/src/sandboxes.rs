//! Which other sandboxes are alive, for plugins whose rules may be in each other's way: by the ledger, which knows of an ADD
//! before its first plugin runs, and for sandboxes that others attached by the runtime's record.

use std::io;

use manifold_cni::Plugin;
use manifold_ledger::netns_id::Now;
use manifold_ledger::{Entry, Ledger, Stage};
use manifold_plugins::meta::{PORTMAP, Portmap};
use manifold_plugins::sandboxes::{PodName, RuntimeRecord, Sandboxes, State};

/// What the ledger says of others.
#[derive(Debug)]
struct Recorded(Ledger);

/// `portmap`, which asks the ledger too.
pub(crate) fn portmap(ledger: &Ledger) -> &'static dyn Plugin {
    // Plugins are static, and the process ends with the call that this is made for.
    let sandboxes = Box::leak(Box::new(Recorded(ledger.clone())));
    Box::leak(Box::new(Portmap { sandboxes, ..PORTMAP }))
}

impl Sandboxes for Recorded {
    fn state(&self, id: &str) -> io::Result<State> {
        match self.recorded(id)? {
            Some(state) => Ok(state),
            None => RuntimeRecord::USUAL.state(id),
        }
    }
}

impl Recorded {
    /// `None` where no entry that makes sense is about such a sandbox.
    fn recorded(&self, id: &str) -> io::Result<Option<State>> {
        let listed = self.0.list().map_err(io::Error::other)?.entries;
        let mut entries = Vec::new();
        for known in listed.into_iter().filter(|known| known.as_str().starts_with(id)) {
            match self.0.read(&known) {
                Ok(entry) => entries.extend(entry),
                Err(unreadable) if unreadable.fault.may_pass() => return Err(io::Error::other(unreadable)),
                Err(unreadable) => tracing::warn!("{unreadable}"),
            }
        }
        let alive = entries.iter().find(|entry| is_alive(entry));
        Ok(match alive {
            Some(entry) => Some(State::Alive(pod(entry))),
            None => (!entries.is_empty()).then_some(State::Gone),
        })
    }
}

/// One whose DEL has begun gives way: its pod has ended.
fn is_alive(entry: &Entry) -> bool {
    let gone = |netns: &manifold_ledger::entry::Netns| {
        netns.id.map_or(!netns.path.exists(), |id| id.check(&netns.path) == Now::Gone)
    };
    entry.stage != Stage::Deleting && !entry.netns.as_ref().is_some_and(gone)
}

fn pod(entry: &Entry) -> Option<PodName> {
    let pod = entry.pod.as_ref()?;
    Some(PodName { namespace: pod.namespace.clone(), name: pod.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    // Shows part of: S-24
    #[test]
    fn a_sandbox_is_alive_from_its_entry_on_until_its_del_begins() {
        let state = tempfile::tempdir().unwrap();
        let recorded = Recorded(Ledger::open(state.path()).unwrap());
        assert_eq!(recorded.recorded("c1").unwrap(), None);
        let entry = sample::entry("c1", vec![sample::recorded("cluster", "eth0", "bridge")]);
        let mut pen = recorded.0.write(&entry).unwrap();
        assert!(matches!(recorded.recorded("c1").unwrap(), Some(State::Alive(_))));
        assert_eq!(
            (recorded.recorded("c").unwrap(), recorded.recorded("c2").unwrap()),
            (recorded.recorded("c1").unwrap(), None)
        );
        let mut ending = entry.clone();
        ending.stage = Stage::Deleting;
        pen.mark(&ending).unwrap();
        assert_eq!(recorded.recorded("c1").unwrap(), Some(State::Gone));
        let mut moved = entry;
        moved.netns = Some(manifold_ledger::entry::Netns { path: "/run/netns/of-nobody".into(), id: None });
        recorded.0.write(&moved).unwrap();
        assert_eq!(recorded.recorded("c1").unwrap(), Some(State::Gone));
    }
}
