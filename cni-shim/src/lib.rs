//! The library behind the executable `manifold`: read, plan, delegate, record, report.

pub mod config;
pub mod gate;
pub mod ledger;
pub mod logging;
pub mod multus_state;
pub mod netns_id;
pub mod source;
pub mod spool;
