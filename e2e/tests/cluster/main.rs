//! Tests on the real cluster that `cargo xtask cluster up` makes: real kubelets and container runtimes, nodes of their own.
//!
//! They need that cluster, so a plain `cargo test` leaves them out; `cargo xtask e2e` runs them, one after another: some
//! switch off what others need. Each makes namespaces and resources of its own. Those of `foreign`, `rivals` and `takeover`
//! have a cluster of their own and run beside the others.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod addresses;
mod all_defaults;
mod bed;
mod canaries;
mod churn;
mod devices;
mod dhcp;
mod down;
mod everyday;
mod faults;
mod foreign;
mod host;
mod kube_system;
mod left;
mod multus;
mod node_role;
mod other;
mod platforms;
mod pod;
mod processes;
mod promises;
mod restarts;
mod rivals;
mod security;
mod takeover;
mod unusual;
mod upgrade;
mod workloads;
