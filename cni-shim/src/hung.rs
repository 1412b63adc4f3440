//! Networks that took all the time of one sandbox. Who clears after many sandboxes leaves the others of such a network to a later
//! sweep: otherwise one network that hangs would hold up everybody, for a time that grows with its pods.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use manifold_ledger::Entry;

#[derive(Debug, Default)]
pub(crate) struct Hung(Mutex<BTreeSet<String>>);

impl Hung {
    pub(crate) fn contains(&self, display: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(display)
    }

    /// Which of them still has to take the sandbox down.
    pub(crate) fn owed_by(&self, entry: &Entry) -> Option<String> {
        entry.owing().map(|(_, attachment)| &attachment.display).find(|name| self.contains(name)).cloned()
    }

    /// Which of the sandbox's networks hangs nobody knows where its process was ended, so all that are left of it count; the
    /// default network only where it alone is left, as every other sandbox has it too.
    pub(crate) fn extend(&self, left: &Entry) {
        let is_further = left.owing().any(|(_, attachment)| !attachment.default);
        let owed = left.owing().filter(|(_, attachment)| !(is_further && attachment.default));
        let owed = owed.map(|(_, attachment)| attachment.display.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(owed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use manifold_ledger::State;

    // Shows part of: F-RUN-13
    #[test]
    fn the_network_that_every_pod_has_counts_only_where_nothing_else_is_left() {
        let (a, b) = (sample::recorded("a", "eth0", "bridge"), sample::recorded("b", "net1", "bridge"));
        let plain = sample::entry("c1", vec![a.clone()]);
        let hung = Hung::default();
        hung.extend(&sample::entry("c2", vec![a, b]));
        assert_eq!(hung.owed_by(&plain), None);
        hung.extend(&plain);
        assert!(hung.owed_by(&plain).is_some());
    }

    // Shows part of: F-NOD-1
    #[test]
    fn a_network_counts_only_where_it_is_still_owed() {
        let hung = Hung::default();
        let attachments =
            || vec![sample::recorded("a", "eth0", "bridge"), sample::recorded("b", "net1", "bridge")];
        let mut left = sample::entry("c1", attachments());
        left.attachments[0].state = State::Detached;
        hung.extend(&left);
        assert_eq!(hung.owed_by(&left).as_deref(), Some("shop/b"));
        let mut other = sample::entry("c2", attachments());
        assert!(hung.owed_by(&other).is_some());
        other.attachments[1].state = State::Detached;
        assert_eq!(hung.owed_by(&other), None, "`a` did not hang");
    }
}
