//! DHCP for pods: a daemon that gets, renews and gives back leases, and the words in which the plugin asks it.
//!
//! The plugin `dhcp` lives for milliseconds, a lease for hours: so a process that stays does the keeping. Both halves
//! are ours, and speak JSON over a Unix socket that only root may use ([`rpc`]).
//!
//! | question | module |
//! | --- | --- |
//! | who holds a lease | [`identity`] |
//! | what does a DHCP message say | [`message`], [`ip`] |
//! | how are messages sent and answered on a link without an address | [`wire`], [`arp`] |
//! | how does a lease come about, and when is it tried again | [`acquire`], [`backoff`] |
//! | what was leased, and what does the plugin answer with | [`lease`] |
//! | who keeps it, over a restart too | [`keeper`], [`registry`], [`store`] |
//! | by which clock | [`uptime`] |
//! | the process: flags, socket, activation, signals | [`daemon`] |
//!
//! Nothing here holds a pod's network namespace open between two exchanges: a lease knows its path and its identity, so
//! a namespace ends when the runtime ends it, whatever the daemon knows (PLG-DHCP-10).

pub mod acquire;
pub mod arp;
pub mod backoff;
pub mod daemon;
pub mod identity;
pub mod ip;
pub mod keeper;
pub mod lease;
pub mod message;
pub mod registry;
pub mod rpc;
pub mod store;
pub mod uptime;
pub mod wire;

pub use identity::LeaseId;
pub use lease::Lease;
