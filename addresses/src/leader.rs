//! What the leader decides: no address is given by it, and none is needed of it to start or stop a pod.
//!
//! All of it works on what was read, which may be old: every write names the version of the block that it was decided on,
//! so a leader that is late, or one of two, is refused. What frees an address ([`reclaim`], [`collect`]) is decided on pods
//! that were **listed after the block was read**, and never on a cache.

mod claims;
mod collect;
mod counts;
mod lost;
mod overlap;
mod pressure;
mod reserve;
mod showing;
mod strays;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_crds::ipam::{BlockCidr, NodeUid};

pub use claims::{drop_unnamed, release_claim};
pub use collect::{Gone, collect, owners};
pub use counts::{Counts, ModeOverTime, auto_mode, counts, hints};
pub use lost::{RECLAIM_STORE_AFTER_SECONDS, mark_lost_node, reclaim};
pub use overlap::{NamedPool, overlapping};
pub use pressure::{Pressure, pressure};
pub use reserve::{Reserve, may_delete, reserve, unneeded};
pub use showing::Showing;
pub use strays::{duplicates, strays};
pub use wishes::recall_for;

use crate::moment::Seconds;

/// The nodes there are: those whose Node object exists and is not marked out of service.
pub type Nodes = BTreeSet<NodeUid>;

/// A pod whose status shows an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// `namespace/name`.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The Node object it runs on, while there is one.
    pub node: Option<NodeUid>,
}

/// Every address that a living pod's status shows in a domain, with who shows it. Two that show one are a duplicate.
pub type Living = BTreeMap<IpAddr, Vec<Shown>>;

/// Since when something is so, as this leader saw it first. A new leader begins anew, which only makes it wait longer.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    since: BTreeMap<(BlockCidr, String), Seconds>,
}

impl Observed {
    /// For how long it is so, by this leader's observations.
    pub fn seconds(&mut self, block: BlockCidr, what: &str, is_so: bool, now: Seconds) -> Option<Seconds> {
        let key = (block, what.to_owned());
        if !is_so {
            self.since.remove(&key);
            return None;
        }
        Some(now.saturating_sub(*self.since.entry(key).or_insert(now)))
    }

    /// Whether anything is observed of a block.
    pub fn has(&self, block: BlockCidr) -> bool {
        self.since.range((block, String::new())..).next().is_some_and(|((of, _), _)| *of == block)
    }

    /// Forgets what was observed of blocks that are no more.
    pub fn retain(&mut self, is_there: impl Fn(BlockCidr) -> bool) {
        self.since.retain(|(block, _), _| is_there(*block));
    }
}

#[cfg(test)]
mod tests;
