//! The ledger against real parts: processes, disks that fail, network namespaces.

mod child;
mod disk;
mod netns_identity;
mod processes;
mod sample;
