//! Storms: seeded suites that look for what nobody thought of. The executables are the real ones, so is the kernel.
//!
//! `cargo xtask test` runs a small part of each, `cargo xtask storm` as much as the time allows. Whatever goes wrong is told
//! with the seed and the place, from which it can be repeated.

pub mod bed;
mod cgroup;
pub mod chance;
mod counts;
pub mod crowds;
pub mod errnos;
pub mod figures;
pub mod histories;
pub mod kills;
mod model;
pub mod networks;
pub mod page;
pub mod run;
pub mod tracer;
pub mod workers;
