//! The executable `manifold`, run as a runtime runs it: real API server, real kernel, real plugins.
//!
//! Every test makes a node of its own ([`node::Node`]): a network namespace in the machine's place, a namespace at the
//! API server, folders for leases and state. Runs as root; nothing outside what a test made is touched.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod api_down;
mod api_faults;
mod asked;
mod check;
mod cleanup;
mod cluster_local;
mod concurrency;
mod crash;
mod crio;
mod definitions;
mod device_files;
mod devices;
mod disk;
mod examples;
mod executed;
mod executed_chain;
mod failing_add;
mod failing_del;
mod gc;
mod helpers;
mod host_ports;
mod hostile;
mod hostile_calls;
mod kernel;
mod lacking;
mod left_behind;
mod lenient;
mod meshes;
mod meta_plugin;
mod neighbours;
mod networks;
mod no_calls;
mod no_programs;
mod node;
mod order;
mod overdue;
mod pods;
mod proxy;
mod reboot;
mod requests;
mod results;
mod routes;
mod sandbox;
mod secrets;
mod selection;
mod signals;
mod sources;
mod status_speed;
mod storm;
mod takeover;
mod versions;
mod whereabouts;
mod wrapper;
