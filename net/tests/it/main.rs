//! The kernel's answers, in namespaces that each test makes for itself. They need root and never touch the host's links.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is not what it is about; a failure names its line"
)]

mod address;
mod bed;
mod bridge;
mod cost;
mod iptables;
mod kinds;
mod link;
mod listing;
mod macvlan;
mod netns;
mod nft;
mod route;
mod rule;
mod shape;
mod sysctl;
mod veth;
mod wait;
