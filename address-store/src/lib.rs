//! What a node keeps of cluster-wide addresses, and how it claims more: crate `manifold-addresses` decides, this one reads and
//! writes the files and walks the claims. What is sent to the API server goes through the trait [`api::BlockApi`]; who
//! implements it brings the connection.
//!
//! # The folder
//! `<stateDir>/.addresses/`, folders 0700, files 0600:
//!
//! | path | what |
//! | --- | --- |
//! | `.store` | the folder's random id, by which the API server knows whose leases a block has |
//! | `.pools/<pool>` | mirror of an AddressPool, so that ADD sends no request for it |
//! | `<domain>/lock`, `<domain>/claiming` | the two locks |
//! | `<domain>/holdings` | what the node may give; durable |
//! | `<domain>/intent.<block>` | that a block is about to be asked for; durable |
//! | `<domain>/<address>` | a lease: container, interface, network |
//! | `<domain>/kept/<address>.<n>` | a lease of an address that an IPAMClaim keeps; several pods may have one |
//! | `<domain>/freed/<address>.<seconds>.<boot>` | since when an address is free; its name says it all |
//! | `<domain>/last.4`, `last.6` | the last address that was given |
//! | `<domain>/short` | when the last claim found no address |
//!
//! No domain begins with a dot. Beside the shim's token lies [`identity`], written by the node role.
//!
//! # Who uses what
//! ADD first calls [`give::give_held`], which opens no connection. What is missing then it gets by [`obtain::obtain`]. The
//! node role takes [`Domain::try_claiming`](domain::DomainFolder::try_claiming) and works in a [`session::Session`], as a claim
//! of an ADD does. DEL, CHECK, GC and STATUS use [`domain::Locked`] alone.

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod api;
mod chance;
pub mod clock;
mod crash;
pub mod domain;
pub mod error;
mod files;
pub mod give;
pub mod identity;
pub mod kept;
pub mod leases;
pub mod mirror;
pub mod no_address;
pub mod obtain;
pub mod session;
pub mod store;

pub use api::{ApiError, BlockApi, Claims, PoolObject, Written};
pub use domain::{Claiming, DomainFolder, Locked};
pub use error::StoreError;
pub use session::Session;
pub use store::Store;
