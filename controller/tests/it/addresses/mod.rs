//! The leader of addresses against a real API server; nodes are played by the tests.

mod bed;
mod claims;
mod lost;
mod pools;
mod races;
mod strays;
