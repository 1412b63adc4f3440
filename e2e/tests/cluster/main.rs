//! Tests on the real cluster that `cargo xtask cluster up` makes: real kubelets and container runtimes, nodes of their own.
//!
//! They need that cluster, so a plain `cargo test` leaves them out: `cargo test -p manifold-e2e --test cluster`. Each makes
//! namespaces and resources of its own, and may run beside the others.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod devices;
