//! `host-local`: its files, its answers, and how it shares a folder with the reference plugin.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where it cannot go on")]

mod crash;
mod differential;
mod disk;
mod duel;
mod leases;
mod lifecycle;
mod speed;

use manifold_plugins::ipam::HostLocal;
use serde_json::Value;

use crate::ipam_bed::{Answer, Call};

/// Ours.
fn run(call: &Call, config: &Value) -> Answer {
    crate::ipam_bed::ours(&HostLocal, call, config)
}

/// The reference's.
fn reference(call: &Call, config: &Value) -> Answer {
    crate::ipam_bed::reference("host-local", call, config)
}
