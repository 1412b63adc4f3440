//! The two resources of cluster-wide address management, group `ipam.manifold.network/v1alpha1`, as types.
//!
//! An [`AddressPool`](pool::PoolSpec) says which addresses of a subnet may be given. An [`AddressBlock`](block::BlockSpec)
//! says who has the addresses of one [`BlockCidr`]. Blocks know no pools: a pool is a view of the blocks under it, so
//! pools that overlap never give one address twice. What is decided with these types is decided in crate
//! `manifold-addresses`.

pub mod block;
pub mod cidr;
pub mod crd;
pub mod name;
pub mod pool;

pub use block::{
    Allocation, BlockSpec, BlockState, Claim, Foreign, Held, Holder, NodeShare, Recall, RecallReason,
    Withheld,
};
pub use cidr::{BadCidr, BlockCidr, Offset};
pub use name::{Domain, NodeName, NodeUid, PoolName, StoreId};
pub use pool::{Mode, PoolSpec, PoolStatus, RangeSpec, Sticky};

/// The API group of both resources.
pub const GROUP: &str = "ipam.manifold.network";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// Their `apiVersion`.
pub const API_VERSION: &str = "ipam.manifold.network/v1alpha1";
/// The category by which `kubectl get manifold` lists them.
pub const CATEGORY: &str = "manifold";
/// Label of a block: its domain.
pub const DOMAIN_LABEL: &str = "ipam.manifold.network/domain";
/// Label of a block: this prefix and the UID of a node that has a part in it. A key for each node, so that each can
/// watch its own.
pub const HELD_BY_LABEL_PREFIX: &str = "held-by.ipam.manifold.network/";
