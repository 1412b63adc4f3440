//! The pods of one definition: how many, and the first by name.
//!
//! With every pod in the default network a full set of names per definition would be most of the memory, so a definition
//! keeps a few dozen, and asks for a fresh few dozen when too many of them have gone.

use std::collections::BTreeSet;

use manifold_crds::nad_status::NAMED_PODS;

use crate::usage::pod::Uid;

/// Kept, so that one in twenty departures of a first name makes the index look through all pods.
const KEPT: usize = NAMED_PODS + 22;

/// A pod in the order of names. Two pods can have one name for a moment, when one takes the other's place.
pub(super) type Named = (String, Uid);

#[derive(Clone, Debug, Default)]
pub(super) struct Users {
    count: u64,
    /// The smallest names of all. Fewer than `count` when there are more than were kept.
    first: BTreeSet<Named>,
}

impl Users {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, pod: Named) {
        let knows_all = self.first.len() as u64 == self.count;
        self.count += 1;
        if knows_all || self.first.last().is_some_and(|last| pod < *last) {
            self.first.insert(pod);
        }
        if self.first.len() > KEPT {
            self.first.pop_last();
        }
    }

    pub(super) fn remove(&mut self, pod: &Named) {
        self.count = self.count.saturating_sub(1);
        self.first.remove(pod);
    }

    /// Whether too few names are left to tell the first of them.
    pub(super) fn wants_names(&self) -> bool {
        self.first.len() < NAMED_PODS && (self.first.len() as u64) < self.count
    }

    /// Takes the names anew from all pods of this definition, in any order.
    pub(super) fn refill(&mut self, all: impl Iterator<Item = Named>) {
        self.first.clear();
        for pod in all {
            if self.first.len() < KEPT || self.first.last().is_some_and(|last| pod < *last) {
                self.first.insert(pod);
            }
            if self.first.len() > KEPT {
                self.first.pop_last();
            }
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.first.iter().take(NAMED_PODS).map(|(name, _)| name.clone()).collect()
    }
}
