//! The controller: what `manifold` decides on a node, promised and refused at the API server.
//!
//! `cluster/` runs the controller and holds what only its leader does; `usage/` says which pods use which network and
//! keeps that true on the definitions; `admission/` answers the API server's questions about definitions and pods by the
//! very code that the nodes plan with; `addresses/` keeps cluster-wide addresses in order;
//! `lint/` does the same for files, without a cluster. `node/` runs the node agent.

pub mod address_objects;
pub mod address_report;
pub mod addresses;
pub mod admission;
pub mod closed;
pub mod cluster;
pub mod config;
pub mod connect;
pub mod context;
pub mod events;
mod feed;
pub mod lint;
pub mod metrics_page;
pub mod node;
pub mod objects;
pub mod pace;
mod places;
pub mod status_page;
pub mod uninstall;
pub mod usage;
mod workload;
