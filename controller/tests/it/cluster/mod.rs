//! The frame of the controller: who leads, what is kept as it should be, what is told.

mod bed;
mod crash;
mod election;
mod keeping;
mod manifests;
mod policies;
mod proxy;
mod takeover;
