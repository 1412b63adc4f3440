//! What is asked of the API server. Who implements it brings connection, time limits and words for errors.

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use manifold_addresses::api::{Identity, Stored, Write};
use manifold_addresses::claim::Hints;
use manifold_crds::ipam::{BlockCidr, Domain, PoolName, PoolSpec, PoolStatus};

use crate::Store;
use crate::give::AddressRequest;
use crate::kept::KeptRequest;
use crate::no_address::NoAddress;

/// No answer, or one that says neither yes nor no. Whether a write was done is not known then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ApiError {
    /// One sentence with the remedy.
    pub what: String,
}

impl ApiError {
    /// With that sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was done.
    Applied,
    /// The block is not as it was read (409), or there is none (404). Nothing was changed.
    Conflict,
}

/// A pool as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolObject {
    /// Its content.
    pub spec: PoolSpec,
    /// What the leader wrote last.
    pub status: PoolStatus,
}

impl PoolObject {
    /// Where to look for addresses.
    pub fn hints(&self) -> Hints {
        let status = self.status.clone();
        Hints { mode: status.mode, open: status.open, next: status.next }
    }
}

/// Addresses for callers without an event loop: the plugin, and the shim's ADD.
pub trait Claims: Debug {
    /// An address for each request, in order; see [`obtain`](crate::obtain::obtain).
    ///
    /// # Errors
    /// Why there is none.
    fn obtain(
        &mut self,
        store: &Store,
        me: &Identity,
        requests: &[AddressRequest],
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, NoAddress>;

    /// The addresses that an IPAMClaim keeps; see [`obtain_kept`](crate::kept::obtain_kept).
    ///
    /// # Errors
    /// Why there are none.
    fn obtain_kept(
        &mut self,
        store: &Store,
        wanted: &KeptRequest,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, NoAddress>;

    /// A pool; `None` where there is none of that name.
    ///
    /// # Errors
    /// If the API server does not answer in time.
    fn pool(&mut self, name: &PoolName, deadline: Instant) -> Result<Option<PoolObject>, ApiError>;
}

/// The requests of a node. Each is bounded in time by who implements it. A write may be sent again as it is: the version in
/// it makes the second one a conflict.
#[expect(
    async_fn_in_trait,
    reason = "callers use it with types that they know, and need no bounds on the futures"
)]
pub trait BlockApi {
    /// A block; `None` where there is no object. Never out of a cache.
    async fn block(&self, domain: &Domain, block: BlockCidr) -> Result<Option<Stored>, ApiError>;

    /// A create or a replace. Nodes never delete.
    async fn write(&self, write: &Write) -> Result<Written, ApiError>;

    /// A pool; `None` where there is none of that name.
    async fn pool(&self, name: &PoolName) -> Result<Option<PoolObject>, ApiError>;

    /// Lets time pass, between two rounds of claims.
    async fn pause(&self, time: Duration);
}
