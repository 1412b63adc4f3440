//! The bundled plugins on a real kernel: every test makes a host and pods of its own, as namespaces, and looks at
//! packets where packets are what matters. Needs root, `ip`, `bridge`, `nft`, `iptables`, `nsenter`, `ping`, and the
//! reference plugins (package `containernetworking-plugins`); a missing one fails the test that needs it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test sets up is not what it is about; a failure names its line"
)]

mod advertisement;
mod announce;
mod bed;
mod bond;
mod bridge;
mod bridge_mac_check;
mod bridge_vlan;
mod calico;
mod cluster_local;
mod del;
mod differential;
mod dummy;
mod executed_ipam;
mod faults;
mod habits;
mod host_device;
mod host_local;
mod identity;
mod ipam_bed;
mod ipvlan;
mod killed;
mod loopback;
mod macvlan;
mod masquerade;
mod meta;
mod mixed;
mod ptp;
mod routes;
mod sriov;
mod static_ipam;
mod tap;
mod versions;
mod vlan;
