//! The test beds, tested: a test bed that is wrong makes every test that stands on it worthless.
//!
//! Runs as root. Everything happens in namespaces that the tests make, or on loopback.

mod api_server;
mod netns;
