//! AddressPool: which addresses of one subnet may be given. As it is written; crate `manifold-addresses` reads it strictly.

use serde::{Deserialize, Serialize};

use super::{BlockCidr, Domain};
use crate::nad_status::Condition;

/// `kind` of the object.
pub const KIND: &str = "AddressPool";
/// How paths of the API name it.
pub const PLURAL: &str = "addresspools";

/// `spec` of a pool. Addresses are text here, so that an object with a slip in one of them can still be read and told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolSpec {
    /// In which its addresses are given once. Immutable.
    pub domain: Domain,
    /// Gives the prefix length. Immutable.
    pub subnet: String,
    /// Which addresses of the subnet; empty: all usable ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<RangeSpec>,
    /// CIDRs or addresses that are never given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Given only to who asks for the address by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<RangeSpec>,
    /// In every result of the pool; never given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Added to the routes of the definition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
    /// Whether nodes take whole blocks or single addresses.
    pub mode: Mode,
    /// The most addresses that a node may have; 0: no limit.
    pub max_per_node: u32,
    /// How long a freed address rests.
    pub reuse_after_seconds: u32,
    /// How long a lost node's addresses stay with it.
    pub reclaim_after_seconds: u32,
    /// Whether pods of a StatefulSet keep their addresses.
    pub sticky: Sticky,
    /// No new addresses; who has one keeps it.
    pub paused: bool,
}

/// How long a lost node's addresses stay with it where a pool says nothing.
pub const RECLAIM_AFTER_SECONDS: u32 = 300;

impl Default for PoolSpec {
    fn default() -> Self {
        Self {
            domain: Domain::default(),
            subnet: String::new(),
            ranges: Vec::new(),
            exclude: Vec::new(),
            fixed: Vec::new(),
            gateway: None,
            routes: Vec::new(),
            mode: Mode::Auto,
            max_per_node: 0,
            reuse_after_seconds: 0,
            reclaim_after_seconds: RECLAIM_AFTER_SECONDS,
            sticky: Sticky::None,
            paused: false,
        }
    }
}

impl PoolSpec {
    /// A pool of a whole subnet.
    pub fn of_subnet(subnet: impl Into<String>) -> Self {
        Self { subnet: subnet.into(), ..Self::default() }
    }
}

/// Addresses from one to another, both included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSpec {
    /// The first.
    pub start: String,
    /// The last.
    pub end: String,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Where to.
    pub dst: String,
    /// Through what; empty: the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<String>,
}

/// What nodes take of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Singles where the pool is small for the nodes that use it, else blocks.
    #[default]
    Auto,
    /// Whole blocks: a pod rarely waits for the API server, and addresses lie idle on nodes.
    Blocks,
    /// Single addresses: nothing lies idle, and every start of a pod asks the API server.
    Singles,
}

/// Whose pods keep their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sticky {
    /// Nobody's.
    #[default]
    None,
    /// Those of a StatefulSet, by an IPAMClaim for each.
    StatefulSet,
}

/// `status` of a pool. The leader alone writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    /// The generation that all of this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What `Auto` means now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How many addresses can be given.
    pub total: u64,
    /// How many somebody has.
    pub used: u64,
    /// How many nobody has.
    pub free: u64,
    /// How many lie with nodes for their next pods.
    pub idle: u64,
    /// How many nodes have any.
    pub nodes: u64,
    /// The networks that use it, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Hints: shared blocks with room, at most [`OPEN_HINTS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<BlockCidr>,
    /// Hints: blocks without an object, at most [`NEXT_HINTS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<BlockCidr>,
    /// What holds of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The most blocks of `status.open`.
pub const OPEN_HINTS: usize = 8;
/// The most blocks of `status.next`.
pub const NEXT_HINTS: usize = 64;
