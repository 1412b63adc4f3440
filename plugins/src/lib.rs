//! The bundled plugins, each a type that implements [`manifold_cni::Plugin`].
//!
//! A plugin keeps nothing between calls and touches nothing of the process: no environment, no working directory, no
//! namespace of the calling thread. So any number of calls may run at once in one process, for different pods.

mod file_lock;
pub mod interface;
pub mod ipam;
mod iptables;
pub mod meta;
pub mod sandboxes;
mod state_file;

use manifold_cni::Plugin;

/// The types that [`bundled`] knows.
pub const TYPES: &[&str] = &[
    "bridge",
    "ptp",
    "macvlan",
    "loopback",
    "host-local",
    "cluster-local",
    "static",
    "dhcp",
    "tuning",
    "sbr",
    "bandwidth",
    "portmap",
    "vrf",
    "firewall",
    "vlan",
    "ipvlan",
    "dummy",
    "tap",
    "host-device",
    "bond",
    "sriov",
];

/// The plugin of a type, if it is one of ours.
pub fn bundled(type_name: &str) -> Option<&'static dyn Plugin> {
    Some(match type_name {
        "bridge" => &interface::BRIDGE,
        "ptp" => &interface::PTP,
        "macvlan" => &interface::MACVLAN,
        "loopback" => &interface::Loopback,
        "vlan" => &interface::VLAN,
        "ipvlan" => &interface::IPVLAN,
        "dummy" => &interface::DUMMY,
        "tap" => &interface::TAP,
        "host-device" => &interface::HOST_DEVICE,
        "bond" => &interface::BOND,
        "sriov" => &interface::SRIOV,
        "host-local" => &ipam::HostLocal,
        "cluster-local" => &ipam::CLUSTER_LOCAL,
        "static" => &ipam::Static,
        "dhcp" => &ipam::Dhcp,
        "tuning" => &meta::TUNING,
        "sbr" => &meta::SBR,
        "bandwidth" => &meta::BANDWIDTH,
        "portmap" => &meta::PORTMAP,
        "vrf" => &meta::VRF,
        "firewall" => &meta::FIREWALL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_under_its_own_name() {
        for name in TYPES.iter().copied() {
            assert_eq!(bundled(name).unwrap().name(), name);
        }
        assert!(bundled("calico-ipam").is_none() && bundled("").is_none() && bundled("Bridge").is_none());
    }
}
