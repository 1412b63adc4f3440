//! The configuration of every bundled plugin as types: keys, defaults, rules. Pure: nothing is read, nothing is done.
//!
//! A plugin reads its own type (`BridgeConf::read(&input.config)`) and gets a value in which every rule holds that
//! can be told from the configuration alone. The plan and the admission webhook call [`check()`] for the same rules,
//! so a definition is refused when it is written, in the words that the pod's event would have had.
//! Keys are read in any case, as plugins in Go read them ([`fit`]); one that is not in its own spelling is noted
//! ([`keys`]). Keys that are not ours are never an error: they may belong to a delegate.

pub mod address;
mod addressing;
pub mod bandwidth;
pub mod bond;
pub mod bridge;
pub mod check;
pub mod cluster_local;
pub mod dhcp;
pub mod dns;
pub mod dummy;
pub mod firewall;
pub mod fit;
pub mod host_device;
pub mod host_local;
pub mod ip_range;
pub mod ipam;
pub mod ipv6;
pub mod ipvlan;
pub mod keys;
pub mod loopback;
pub mod mac;
pub mod macvlan;
pub mod masquerade;
pub mod mtu;
pub mod pci;
pub mod portmap;
pub mod problem;
pub mod ptp;
pub mod requested;
pub mod runtime;
pub mod sbr;
mod shared_wire;
pub mod sriov;
pub mod static_ipam;
pub mod tap;
pub mod tuning;
pub mod vlan;
pub mod vlan_link;
pub mod vrf;
pub mod whereabouts;

pub use bandwidth::BandwidthConf;
pub use bond::{BondConf, BondMode};
pub use bridge::BridgeConf;
pub use check::check;
pub use cluster_local::ClusterLocalConf;
pub use dhcp::DhcpConf;
pub use dns::DnsConf;
pub use dummy::DummyConf;
pub use firewall::FirewallConf;
pub use host_device::HostDeviceConf;
pub use host_local::HostLocalConf;
pub use ip_range::{IpRange, RangeSet};
pub use ipvlan::{IpvlanConf, IpvlanFlag, IpvlanMode};
pub use loopback::LoopbackConf;
pub use mac::Mac;
pub use macvlan::{MacvlanConf, MacvlanMode};
pub use masquerade::MasqBackend;
pub use mtu::Mtu;
pub use pci::PciAddress;
pub use portmap::PortmapConf;
pub use problem::{Note, Problem};
pub use ptp::PtpConf;
pub use sbr::SbrConf;
pub use sriov::SriovConf;
pub use static_ipam::StaticConf;
pub use tap::TapConf;
pub use tuning::TuningConf;
pub use vlan::{Trunk, VlanId};
pub use vlan_link::VlanConf;
pub use vrf::VrfConf;
