//! The shim against real parts: an API server, network namespaces, plugins.

mod child;
mod ledger_disk;
mod ledger_processes;
mod ledger_sample;
mod netns_identity;
mod source;
