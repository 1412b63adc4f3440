//! What ADD answers: interfaces, addresses, routes, DNS, in the newest shape.
//!
//! This is the 1.1.0 model; `convert` reads and writes every older one. Keys that we do not know are
//! kept in `extra`, so a result passes through us whole (CNI-ADD-3).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What ADD answers, in the shape of the newest version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CniResult {
    /// Those that were made, on the host and in the container.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses that were given.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub ips: Vec<IpConfig>,
    /// Routes that were set.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub routes: Vec<Route>,
    /// For the container's resolver.
    #[serde(skip_serializing_if = "Dns::is_empty", deserialize_with = "null_is_empty")]
    pub dns: Dns,
    /// Keys that nobody here knows.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An interface of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The netns path for an interface of the container, empty for one of the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Of a vhost-user or memif interface.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI address of its device.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
    /// Keys that nobody here knows.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An address of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpConfig {
    /// With its prefix length; host bits are kept.
    pub address: IpNet,
    /// The gateway of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`. Old plugins write -1 for "none"; that is read as unset (CNI-RES-3).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "negative_is_none")]
    pub interface: Option<usize>,
    /// Keys that nobody here knows.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A route of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where it leads.
    pub dst: IpNet,
    /// By which gateway; none means directly, or the gateway of the address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gw: Option<IpAddr>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The MSS that is advertised on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Its metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Its table; none is the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// 0 global, 253 link, 254 host; unset differs from 0 (CNI-RES-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    /// Keys that nobody here knows.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Settings of a resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dns {
    /// Addresses of servers, the preferred one first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub domain: String,
    /// Domains for short names.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub search: Vec<String>,
    /// Options as in `resolv.conf`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl IpConfig {
    /// An address that belongs to no interface yet.
    pub fn new(address: IpNet, gateway: Option<IpAddr>) -> Self {
        Self { address, gateway, interface: None, extra: Map::new() }
    }
}

impl Route {
    /// A route without further values.
    pub fn new(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None, extra: Map::new() }
    }

    /// Whether it leads everywhere.
    pub fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0
    }
}

pub(crate) fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

pub(crate) fn empty_is_none<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(d)?.as_deref() {
        None | Some("") => Ok(None),
        Some(raw) => raw.parse().map(Some).map_err(|_| {
            serde::de::Error::custom(format_args!("`{}` is not an IP address", crate::name::printable(raw)))
        }),
    }
}

fn negative_is_none<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<usize>, D::Error> {
    Ok(Option::<i64>::deserialize(d)?.and_then(|n| usize::try_from(n).ok()))
}
