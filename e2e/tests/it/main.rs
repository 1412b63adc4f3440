//! The test beds, tested: a test bed that is wrong makes every test that stands on it worthless.
//!
//! Runs as root. Everything happens in namespaces that the tests make, or on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it inside test functions only, not in what they share"
)]

mod api_server;
mod fake_delegate;
mod forward;
mod guest;
mod leaks;
mod netns;
mod runtime;
