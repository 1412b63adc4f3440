//! What was done for each sandbox, on disk before it is done, so that DEL never has to ask or guess.
//!
//! One file per sandbox, `<state folder>/<container id>`: the plan with the exact bytes of every delegate's
//! configuration is durable before the first delegate runs ([`Ledger::write`]); results are appended and states are
//! overwritten in place afterwards ([`Pen`]), so no later step can lose the plan and no DEL needs new space.
//! What cannot be read is set aside and stays an error ([`Unreadable`]), never "nothing to do".
//!
//! Everything else of ours in the folder has a name that no container id can have (it begins with a dot):
//! `.locks`, `.gate`, `.spool`, `.damaged`, `.reported`, `.new-…`, `.boot`, `.sweep`, `.idle`, `.installed`, `.found`,
//! `.versions`.
//!
//! Beside it: how many may run at once ([`gate`]), what the node agent is told afterwards ([`spool`]), and what it installed
//! ([`installed`]), which versions plugins speak ([`spoken`]).
//!
//! This crate decides and keeps books; it runs no delegate and touches no interface.

pub mod alien;
pub mod boot;
mod byte_lock;
pub mod codec;
pub mod content;
pub mod damaged;
pub mod durable;
pub mod entry;
pub mod error;
pub mod exact;
pub mod executable;
pub mod flock;
mod folder;
pub mod gate;
pub mod holders;
pub mod idle;
pub mod installed;
pub mod list;
pub mod lock;
mod marks;
pub mod netns_id;
pub mod network_lock;
pub mod node_lock;
pub mod pen;
pub mod spoken;
pub mod spool;
pub mod store;
mod unpublished;
pub mod uptime;

#[cfg(test)]
mod power_cut;
#[cfg(test)]
pub(crate) mod sample;

pub use boot::{BootId, BootSweep};
pub use codec::{Fault, Flaw};
pub use damaged::Damaged;
pub use entry::{Entry, Failures, Found, PodIdentity, Recorded, RecordedPlugin, Stage, State, Status};
pub use error::{LedgerError, LockError, Unreadable};
pub use exact::Exact;
pub(crate) use folder::make_folder;
pub use idle::IdlePass;
pub use list::Listing;
pub use lock::SandboxLock;
pub use network_lock::NetworkLock;
pub use node_lock::NodeLock;
pub use pen::Pen;
pub use store::{Ledger, Opened};
pub use unpublished::Unpublished;
pub use uptime::Uptime;
