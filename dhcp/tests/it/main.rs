//! The daemon and its plugin as executables, with a real DHCP server (dnsmasq) and with one that does what a test says.
//! Needs root, `ip`, `dnsmasq`, `python3`; a missing one fails the test that needs it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test sets up is not what it is about; a failure names its line"
)]

mod bed;
mod daemon;
mod dnsmasq;
mod fake_server;
mod ipvlan;
mod leases;
mod options;
mod process;
