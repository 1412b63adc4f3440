//! What the leader counts of addresses. The names of pools are labels, at most [`POOLS`] of them; all others are closed.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;

use manifold_addresses::leader::Counts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::closed::{Closed, begin, label, pairs};
use crate::feed::{Cause, Trouble};

/// Pools with a label of their own; the others are counted together.
pub const POOLS: usize = 200;
const OTHER: &str = "other";

label! {
    /// What becomes of the addresses of a pool.
    pub(super) enum State {
        Used,
        Idle,
        Free,
    }
}

label! {
    pub(super) enum BlockState {
        Held,
        Shared,
        /// Held, and wanted back.
        Recalled,
    }
}

label! {
    /// Why addresses were taken back.
    pub(super) enum Taken {
        NodeLost,
        StoreLost,
        /// Its claim, or the pod that it was kept for, is gone.
        OwnerGone,
    }
}

label! {
    pub(super) enum Wanted {
        PoolShort,
        FixedAddress,
    }
}

label! {
    /// What became of a write to a block.
    pub(super) enum Outcome {
        Applied,
        Conflict,
        Refused,
        Unknown,
    }
}

label! {
    pub(super) enum Resource {
        Pools,
        Blocks,
        Claims,
        Definitions,
        Nodes,
        Pods,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    pool: String,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBlock {
    state: BlockState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: Taken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWrite {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Restart {
    resource: Resource,
    cause: Cause,
}

/// Cheap to clone: all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    addresses: Family<OfPool, Gauge<i64, AtomicI64>>,
    blocks: Family<OfBlock, Gauge<i64, AtomicI64>>,
    recalls: Family<OfReason, Counter>,
    reclaims: Family<OfCause, Counter>,
    conflicts: Gauge<i64, AtomicI64>,
    writes: Family<OfWrite, Counter>,
    restarts: Family<Restart, Counter>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let pools =
            format!("the first {POOLS} pools by name have a label of their own, all others are `{OTHER}`");
        registry.register(
            "manifold_addresses",
            format!("Addresses of each pool; {pools}"),
            new.addresses.clone(),
        );
        registry.register(
            "manifold_address_blocks",
            "Blocks; recalled ones are held too",
            new.blocks.clone(),
        );
        registry.register(
            "manifold_address_recalls",
            "Blocks that were asked back from their node",
            new.recalls.clone(),
        );
        registry.register(
            "manifold_address_reclaims",
            "Addresses that were taken from who has them no more",
            new.reclaims.clone(),
        );
        registry.register(
            "manifold_address_conflicts",
            "Addresses that two living pods show",
            new.conflicts.clone(),
        );
        registry.register("manifold_address_writes", "Writes of the leader to blocks", new.writes.clone());
        registry.register(
            "manifold_address_watch_restarts",
            "Lists and watches begun again for addresses",
            new.restarts.clone(),
        );
        new
    }

    /// Begins every series that there can be: for the reference.
    pub fn every(&self) {
        for state in State::ALL.iter().copied() {
            for pool in ["POOL", OTHER].map(str::to_owned) {
                begin(&self.addresses, &OfPool { pool, state });
            }
        }
        BlockState::ALL.iter().for_each(|state| begin(&self.blocks, &OfBlock { state: *state }));
        Wanted::ALL.iter().for_each(|reason| begin(&self.recalls, &OfReason { reason: *reason }));
        Taken::ALL.iter().for_each(|cause| begin(&self.reclaims, &OfCause { cause: *cause }));
        Outcome::ALL.iter().for_each(|outcome| begin(&self.writes, &OfWrite { outcome: *outcome }));
        for (resource, cause) in pairs() {
            begin(&self.restarts, &Restart { resource, cause });
        }
    }

    /// Of all pools, each time: one that is gone leaves no count behind.
    pub(super) fn pools(&self, all: &BTreeMap<String, Counts>) {
        self.addresses.clear();
        for (n, (name, counts)) in all.iter().enumerate() {
            let pool = if n < POOLS { name } else { OTHER };
            for (state, count) in
                [(State::Used, counts.used), (State::Idle, counts.idle), (State::Free, counts.free)]
            {
                let series = OfPool { pool: pool.to_owned(), state };
                self.addresses.get_or_create(&series).inc_by(i64::try_from(count).unwrap_or(i64::MAX / 4));
            }
        }
    }

    pub(super) fn blocks(&self, count: impl Fn(BlockState) -> usize) {
        for state in BlockState::ALL.iter().copied() {
            let count = i64::try_from(count(state)).unwrap_or(i64::MAX);
            self.blocks.get_or_create(&OfBlock { state }).set(count);
        }
    }

    pub(super) fn recalled(&self, reason: Wanted) {
        self.recalls.get_or_create(&OfReason { reason }).inc();
    }

    pub(super) fn reclaimed(&self, cause: Taken, addresses: u32) {
        self.reclaims.get_or_create(&OfCause { cause }).inc_by(addresses.into());
    }

    pub(super) fn conflicts(&self, addresses: usize) {
        self.conflicts.set(i64::try_from(addresses).unwrap_or(i64::MAX));
    }

    pub(super) fn wrote(&self, outcome: Outcome) {
        self.writes.get_or_create(&OfWrite { outcome }).inc();
    }

    pub(super) fn trouble(&self, resource: Resource, trouble: Trouble) {
        if let Trouble::Restarted(cause) = trouble {
            self.restarts.get_or_create(&Restart { resource, cause }).inc();
        }
    }
}
