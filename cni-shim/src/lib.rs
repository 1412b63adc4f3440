//! The library behind the executable `manifold`: read, plan, delegate, record, report.

pub mod add;
mod amend;
pub mod apart;
mod at_once;
pub mod call;
pub mod chain;
pub mod check;
pub mod claim;
pub mod config;
pub mod crash;
pub mod default_network;
pub mod del;
pub mod gc;
mod hung;
pub mod kubelet;
pub mod logging;
pub mod multus_state;
pub mod outcome;
pub mod overdue;
pub(crate) mod places;
pub mod policy;
pub mod ready;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod sandboxes;
pub mod shim;
pub mod signal;
pub mod source;
pub mod status;
pub mod sweep;
pub mod takeover;
pub mod undo;
pub mod uninstall;
pub mod unrecorded;
mod versions;
