//! Keeps cluster-wide addresses in order: what crate `manifold-addresses` decides for a leader, with the requests that it takes.
//!
//! No pod needs it to start or stop. Six feeds come in: pools, blocks, definitions, nodes, pods and, where they are known,
//! IPAMClaims (`read.rs`, `facts.rs`, `mirror.rs`, `pods.rs`). About once a second a round (`worker.rs`) sends what follows:
//!
//! | part | what |
//! | --- | --- |
//! | `inline.rs` | a pool for each range of a definition |
//! | `domain.rs` | marks of lost nodes, strays, recalls, the reserve |
//! | `sweep.rs` | what is taken from those who are gone: decided on blocks, nodes and pods that were read anew |
//! | `claims.rs` | the addresses of IPAMClaims, and claims for the pods of StatefulSets |
//! | `status.rs`, `pool_round.rs` | what pools tell: counts, hints, conditions, events |
//!
//! Pods are watched only while there is a pool. Each write names the version that it was decided on, so a leader that is late,
//! or one of two, is refused (`send.rs`).

mod acts;
mod claim_writes;
mod claims;
mod domain;
mod facts;
mod feeds;
mod inline;
mod metrics;
pub(crate) mod mirror;
mod pods;
mod pool_round;
pub(crate) mod read;
pub(crate) mod resource;
pub(crate) mod send;
mod status;
mod sweep;
mod view;
mod worker;

pub use metrics::{Metrics, POOLS};
pub use worker::{Pace, run, run_at};
