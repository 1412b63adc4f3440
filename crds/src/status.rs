//! The network-status annotation: what a pod got, one entry per attachment, made from the delegates' results.
//!
//! Which interface of a result an entry tells about is the standard's rule (the first one inside the sandbox). Nodes that
//! serve readers of the older habit can ask for one entry per sandbox interface instead (MLT-DEP-7).

mod from_result;
mod read;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use manifold_cni::Dns;
use serde::Serialize;

use crate::device_info::DeviceInfo;

pub use from_result::{Described, Entries};
pub use read::parse;

/// One entry. `default` is always written; everything else only when it says something (NPWG-X-4).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetworkStatus {
    /// `namespace/name` of the definition, or the CNI name of a network that has none (NPWG-5.3.1-2).
    pub name: String,
    /// Its name in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Without prefix lengths, as readers expect them (NPWG-X-5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Never without `interface` (NPWG-5.3.4-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its MTU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether this is the pod's default network. True in one entry.
    pub default: bool,
    /// What the plugin said of name servers.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// The device behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// The next hops of the default routes that stayed; every reader looks here (NPWG-X-3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<IpAddr>,
    /// The same, where the selection asked for `default-route` (NPWG-5.3.6.4-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_route: Option<Vec<IpAddr>>,
}

/// The annotation's value.
pub fn to_json(entries: &[NetworkStatus]) -> String {
    serde_json::to_string(entries).expect("status entries have string keys only")
}
