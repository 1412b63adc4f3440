//! Which plugins read a pod's request from CNI_ARGS, where `IP` and `MAC` stand on every ADD (MLT-EXE-6).
//!
//! Plugins read them since before there were capabilities, so definitions without `capabilities` work with Multus for
//! `ips` and `mac`. Whether a plugin that is not bundled reads them only that plugin knows.

use manifold_cni::{NetworkList, PluginConf, PluginType};

use crate::check_config::{Kind, ipam_type, kind};

/// Types that take `MAC` of CNI_ARGS for their interface.
pub(crate) const READ_MAC: &[&str] = &["bridge", "macvlan", "sriov", "tap", "tuning"];
/// IPAM types that take `IP` of CNI_ARGS.
pub(crate) const READ_IP: &[&str] = &["host-local", "cluster-local", "static"];

/// Whether a request in CNI_ARGS gets anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Read,
    /// Only this plugin of somebody else's can tell.
    Perhaps(String),
    Nobody,
}

/// The key of CNI_ARGS that says the same as this key of the annotation.
pub(crate) fn arg_of(key: &str) -> Option<&'static str> {
    match key {
        "ips" => Some("IP"),
        "mac" => Some("MAC"),
        _ => None,
    }
}

pub(crate) fn reach(list: &NetworkList, key: &str) -> Reach {
    let of = match key {
        "ips" => of_ip,
        "mac" => of_mac,
        _ => return Reach::Nobody,
    };
    let mut best = Reach::Nobody;
    for plugin in &list.plugins {
        match of(plugin) {
            Reach::Read => return Reach::Read,
            Reach::Perhaps(name) if best == Reach::Nobody => best = Reach::Perhaps(name),
            _ => {}
        }
    }
    best
}

fn of_mac(plugin: &PluginConf) -> Reach {
    match READ_MAC.contains(&plugin.kind.as_str()) {
        true => Reach::Read,
        false => stranger(&plugin.kind),
    }
}

/// An interface plugin leaves addresses to its IPAM.
fn of_ip(plugin: &PluginConf) -> Reach {
    let takes_addresses = match kind(plugin.kind.as_str()) {
        None => true,
        Some(kind) => matches!(kind, Kind::Interface { .. } | Kind::Stacking),
    };
    match ipam_type(plugin).filter(|_| takes_addresses) {
        Some(ipam) if READ_IP.contains(&ipam.as_str()) => Reach::Read,
        Some(ipam) if kind(&ipam).is_none() => Reach::Perhaps(ipam),
        _ => stranger(&plugin.kind),
    }
}

fn stranger(name: &PluginType) -> Reach {
    match kind(name.as_str()) {
        Some(_) => Reach::Nobody,
        None => Reach::Perhaps(name.to_string()),
    }
}
