//! Port mappings and bandwidth: the two values that are maps themselves.

use std::net::IpAddr;

use manifold_cni::name::printable;
use serde::{Deserialize, Serialize};

pub(super) const PORTS_SHAPE: &str = "a list of maps with the whole numbers `hostPort` and `containerPort`, and optionally `protocol` and `hostIP`";
pub(super) const BANDWIDTH_SHAPE: &str =
    "a map of the whole numbers `ingressRate`, `ingressBurst`, `egressRate` and `egressBurst`";

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

/// One port of the host that leads to one of the pod (NPWG-4.1.2.1.7-1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// On the host.
    pub host_port: u16,
    /// In the pod.
    pub container_port: u16,
    /// TCP unless another is given.
    pub protocol: Protocol,
    /// The address of the host; none means all.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

pub(super) const PORT_KEYS: &[&str] = &["hostPort", "containerPort", "protocol", "hostIP"];
pub(super) const BANDWIDTH_KEYS: &[&str] = &["ingressRate", "ingressBurst", "egressRate", "egressBurst"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPortMapping {
    host_port: Option<i64>,
    container_port: Option<i64>,
    protocol: Option<String>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
}

pub(super) fn port_mappings(raw: Vec<RawPortMapping>) -> Result<Vec<PortMapping>, String> {
    let mut out: Vec<PortMapping> = Vec::with_capacity(raw.len());
    for one in raw {
        let mapping = port_mapping(&one)?;
        let clash = |o: &PortMapping| {
            o.host_port == mapping.host_port && o.protocol == mapping.protocol && o.host_ip == mapping.host_ip
        };
        if out.iter().any(clash) {
            return Err(format!("`hostPort` {} is mapped twice", mapping.host_port));
        }
        out.push(mapping);
    }
    Ok(out)
}

fn port_mapping(raw: &RawPortMapping) -> Result<PortMapping, String> {
    let host_ip = match raw.host_ip.as_deref() {
        None | Some("") => None,
        Some(text) => {
            Some(text.parse().map_err(|_| format!("`hostIP` `{}` is not an IP address", printable(text)))?)
        }
    };
    Ok(PortMapping {
        host_port: port("hostPort", raw.host_port)?,
        container_port: port("containerPort", raw.container_port)?,
        protocol: protocol(raw.protocol.as_deref())?,
        host_ip,
    })
}

fn port(key: &str, raw: Option<i64>) -> Result<u16, String> {
    let number = raw.ok_or_else(|| format!("`{key}` is missing"))?;
    let port = u16::try_from(number).ok().filter(|p| *p != 0);
    port.ok_or_else(|| format!("`{key}` is `{number}`, and a port is 1 to 65535"))
}

fn protocol(raw: Option<&str>) -> Result<Protocol, String> {
    match raw.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "tcp") => Ok(Protocol::Tcp),
        Some("udp") => Ok(Protocol::Udp),
        Some("sctp") => Ok(Protocol::Sctp),
        Some(other) => Err(format!("`protocol` is `{}`, and it can be TCP, UDP or SCTP", printable(other))),
    }
}

/// Rates in bits per second, bursts in bits. At least one; none is zero; no burst without its rate
/// (NPWG-4.1.2.1.8-1, -2). A zero is how Go writes what was not given, so it is read as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// To the pod, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_rate: Option<u64>,
    /// To the pod, bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_burst: Option<u64>,
    /// From the pod, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_rate: Option<u64>,
    /// From the pod, bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_burst: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawBandwidth {
    ingress_rate: Option<i64>,
    ingress_burst: Option<i64>,
    egress_rate: Option<i64>,
    egress_burst: Option<i64>,
}

impl Bandwidth {
    /// `None` where it sets nothing.
    pub(super) fn check(raw: &RawBandwidth) -> Result<Option<Self>, String> {
        let out = Self {
            ingress_rate: amount("ingressRate", raw.ingress_rate)?,
            ingress_burst: amount("ingressBurst", raw.ingress_burst)?,
            egress_rate: amount("egressRate", raw.egress_rate)?,
            egress_burst: amount("egressBurst", raw.egress_burst)?,
        };
        for (way, rate, burst) in
            [("ingress", out.ingress_rate, out.ingress_burst), ("egress", out.egress_rate, out.egress_burst)]
        {
            if burst.is_some() && rate.is_none() {
                return Err(format!("`{way}Burst` needs `{way}Rate` as well"));
            }
        }
        Ok((out != Self::default()).then_some(out))
    }
}

fn amount(key: &str, raw: Option<i64>) -> Result<Option<u64>, String> {
    let Some(number) = raw.filter(|n| *n != 0) else { return Ok(None) };
    u64::try_from(number)
        .map(Some)
        .map_err(|_| format!("`{key}` is `{number}`, and it must be more than zero"))
}
