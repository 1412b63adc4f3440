//! The controller against a real API server.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]
mod addresses;
mod admission;
mod cluster;
mod crd;
mod large;
mod leader;
mod lint;
mod model;
mod node;
mod outage;
mod quiet;
mod shared;
mod stored;
mod subcommands;
mod usage;
