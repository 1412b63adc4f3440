//! Why an interface gets no address: one sentence with what to do, and whether a later attempt may succeed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use manifold_addresses::give::Shortage;
use manifold_addresses::lease::Lease;
use manifold_addresses::pool::NeverGiven;
use manifold_cni::{CniError, code};
use manifold_crds::ipam::block::{Allocation, BlockState};
use manifold_crds::ipam::{BlockSpec, NodeName, Offset};

use crate::give::PoolChoice;
use crate::session::SessionError;
use crate::{ApiError, StoreError};

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum NoAddress {
    /// Nothing is free.
    #[error("{0}")]
    Full(Full),
    /// The pool takes no new pods.
    #[error("{0} is paused and gives no new addresses; set `paused: false`, or choose another pool")]
    Paused(String),
    /// The node has as many of the pool as it may.
    #[error(
        "this node has {most} addresses of {pool}, and may have no more; raise `maxPerNode`, or end some of its pods here"
    )]
    MostPerNode {
        /// As people know it.
        pool: String,
        /// `maxPerNode`.
        most: u32,
    },
    /// There is no AddressPool of that name.
    #[error("there is no AddressPool `{0}`; create it, or correct `pools` of the network")]
    NoPool(String),
    /// The AddressPool cannot be used.
    #[error("AddressPool `{name}` cannot be used: {why}")]
    BadPool {
        /// Which.
        name: String,
        /// With the place in it.
        why: String,
    },
    /// The address that was asked for by name is somebody's.
    #[error("the requested address `{ip}` is taken: {by}")]
    Taken {
        /// Which.
        ip: IpAddr,
        /// Whose, and what to do.
        by: String,
    },
    /// It can never be given.
    #[error("the requested address `{ip}` {why}")]
    Never {
        /// Which.
        ip: IpAddr,
        /// Why.
        why: NeverGiven,
    },
    /// The IPAMClaim is missing, or was changed each time.
    #[error("{0}")]
    Claim(String),
    /// The IPAMClaim is another attachment's.
    #[error("{0}")]
    WrongClaim(String),
    /// The node has nothing free, and nobody can be asked for more.
    #[error(
        "this node has no free address of {0}, and without a cluster it cannot claim one; use `host-local` where there is no cluster"
    )]
    NoCluster(String),
    /// The API server.
    #[error("this node has no free address, and claiming one failed: {0}")]
    Api(#[from] ApiError),
    /// The node's disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A pool without a free address, as far as this node could find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// As people know it.
    pub pool: String,
    /// How many it has.
    pub total: u128,
    /// How many are free here and rest still.
    pub cooling: u32,
    /// How long they rest.
    pub rest_seconds: u32,
    /// How many lie idle with nodes, by the pool's status.
    pub idle: Option<u64>,
    /// Nodes that hold blocks of it.
    pub held_by: BTreeSet<NodeName>,
}

/// So many names of nodes are told.
const NAMES_TOLD: usize = 5;

impl Full {
    pub(crate) fn of(
        choice: &PoolChoice,
        shortage: &Shortage,
        idle: Option<u64>,
        held_by: BTreeSet<NodeName>,
    ) -> Self {
        Self {
            pool: choice.display(),
            total: choice.pool.ordinary.count(),
            cooling: shortage.cooling,
            rest_seconds: choice.pool.reuse_after_seconds,
            idle,
            held_by,
        }
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pool, total, cooling, rest_seconds, idle, held_by } = self;
        write!(f, "{pool} has no free address for this pod: {total} in all")?;
        if *cooling > 0 {
            write!(f, ", {cooling} on this node rest for up to {rest_seconds} s after their last pod")?;
        }
        let names: Vec<String> = held_by.iter().take(NAMES_TOLD).map(|node| format!("`{node}`")).collect();
        match (idle, names.is_empty()) {
            (Some(idle @ 1..), true) => write!(f, ", {idle} idle on other nodes")?,
            (Some(idle @ 1..), false) => {
                write!(f, ", {idle} idle on other nodes, such as {}", names.join(", "))?;
            }
            (_, false) => write!(f, ", blocks of it are held by {}", names.join(", "))?,
            (_, true) => {}
        }
        let wait = if *cooling > 0 { "wait for these, " } else { "" };
        write!(f, "; {wait}add a range to it, or end some of its pods")
    }
}

impl From<SessionError> for NoAddress {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Store(error) => error.into(),
            SessionError::Api(error) => error.into(),
        }
    }
}

impl From<NoAddress> for CniError {
    fn from(error: NoAddress) -> Self {
        let msg = error.to_string();
        match error {
            NoAddress::Never { .. } | NoAddress::NoCluster(_) | NoAddress::WrongClaim(_) => Self::config(msg),
            NoAddress::Store(error) => error.into(),
            _ => Self::new(code::TRY_AGAIN, msg),
        }
    }
}

/// Who has an address, by its lease here.
pub(crate) fn lease_holder(lease: Option<&Lease>) -> String {
    match lease {
        Some(lease) => format!(
            "interface `{}` of container `{}` on this node has it; ask for another, or end that pod",
            lease.interface, lease.container
        ),
        None => "another pod of this node has it; ask for another, or end that pod".to_owned(),
    }
}

/// Who has an address, by its block.
pub(crate) fn block_holder(spec: &BlockSpec, offset: Offset) -> String {
    if let Some(withheld) = spec.withheld.get(&offset) {
        return format!("pod `{}` shows it; ask for another, or end that pod", withheld.pod);
    }
    match &spec.state {
        BlockState::Held(held) => format!(
            "node `{}` holds its block, which is asked back for this pod; wait, or add the address to `fixed` of the pool",
            held.holder.node
        ),
        BlockState::Shared(all) => match all.get(&offset) {
            Some(Allocation::Claim { claim }) => {
                format!(
                    "IPAMClaim `{}/{}` keeps it; ask for another, or delete the claim",
                    claim.namespace, claim.name
                )
            }
            Some(Allocation::Foreign { foreign }) => {
                format!("pod `{}` has it; ask for another, or end that pod", foreign.pod)
            }
            Some(Allocation::Node(share)) => {
                format!("node `{}` has it; ask for another, or end its pod there", share.node)
            }
            None => "another node was faster; the runtime tries again".to_owned(),
        },
    }
}
