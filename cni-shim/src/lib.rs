//! The library behind the executable `manifold`: read, plan, delegate, record, report.

pub mod config;
pub mod logging;
pub mod source;
