//! `portmap`: ports of the host that lead to the pod (PLG-PORTMAP-1 to -3).

use std::net::IpAddr;
use std::str::FromStr;

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use serde::Deserialize;

use crate::fit;
use crate::problem::Problem;
use crate::runtime;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortmapConf {
    /// The host itself and hairpin traffic are masqueraded, so that their answers find back.
    pub snat: bool,
    /// All traffic to mapped ports is masqueraded.
    pub masq_all: bool,
    /// The packet mark's bit that says "masquerade" (iptables); `None`: 13.
    pub mark_masq_bit: Option<MarkBit>,
    /// A chain of somebody else's that sets the mark (iptables).
    #[serde(deserialize_with = "fit::empty_is_none")]
    pub external_set_mark_chain: Option<ChainName>,
    /// Further conditions, in the words of the backend.
    #[serde(rename = "conditionsV4")]
    pub conditions_v4: Vec<String>,
    #[serde(rename = "conditionsV6")]
    pub conditions_v6: Vec<String>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    backend: Option<PortmapBackend>,
}

pub const KEYS: &[&str] =
    &["snat", "masqAll", "markMasqBit", "externalSetMarkChain", "conditionsV4", "conditionsV6", "backend"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortmapBackend {
    Iptables,
    Nftables,
}

impl FromStr for PortmapBackend {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "iptables" => Ok(Self::Iptables),
            "nftables" => Ok(Self::Nftables),
            _ => {
                let raw = printable(raw);
                Err(format!("`{raw}` is not a backend; use `iptables` or `nftables`, or leave it out"))
            }
        }
    }
}

/// A bit of the packet mark, 0 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct MarkBit(u8);

impl MarkBit {
    pub const USUAL: Self = Self(13);

    pub fn mask(self) -> u32 {
        1 << self.0
    }
}

impl TryFrom<i64> for MarkBit {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        match u8::try_from(n) {
            Ok(bit @ 0..=31) => Ok(Self(bit)),
            _ => Err(format!("{n} is not a bit of the packet mark; use 0 to 31")),
        }
    }
}

/// The name of an iptables chain, safe to stand in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainName(String);

impl ChainName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChainName {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let why = match raw {
            "" => "it is empty",
            _ if raw.len() > 28 => "it is longer than 28 characters",
            _ if !raw.bytes().all(plain) => {
                "it has other characters than letters, digits, `-`, `_`, `.` and `:`"
            }
            _ if raw.starts_with('-') => "it begins with `-`",
            _ => return Ok(Self(raw.to_owned())),
        };
        Err(format!("`{}` cannot be a chain: {why}", printable(raw)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// One port of the host that leads to one of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
    /// Only traffic to this address. An unspecified one limits to its family, and to no address of it.
    pub host_ip: Option<IpAddr>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMapping {
    host_port: i64,
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
}

impl Default for PortmapConf {
    fn default() -> Self {
        Self {
            snat: true,
            masq_all: false,
            mark_masq_bit: None,
            external_set_mark_chain: None,
            conditions_v4: Vec::new(),
            conditions_v6: Vec::new(),
            backend: None,
        }
    }
}

impl PortmapConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf: Self = fit::fit(config)?;
        conf.rules()?;
        Ok(conf)
    }

    /// The backend that the configuration asks for, by name or by options that only one of them has.
    pub fn backend(&self) -> Option<PortmapBackend> {
        let by_conditions = [&self.conditions_v4, &self.conditions_v6].into_iter().find_map(|c| kind_of(c));
        let by_mark = self.mark_masq_bit.is_some() || self.external_set_mark_chain.is_some();
        self.backend.or(by_conditions).or(by_mark.then_some(PortmapBackend::Iptables))
    }

    /// Further conditions for traffic to a pod of that address.
    pub fn conditions(&self, pod: IpAddr) -> &[String] {
        if pod.is_ipv4() { &self.conditions_v4 } else { &self.conditions_v6 }
    }

    fn rules(&self) -> Result<(), Problem> {
        if self.mark_masq_bit.is_some() && self.external_set_mark_chain.is_some() {
            let text = "`markMasqBit` and `externalSetMarkChain` both say how to mark; use one of them";
            return Err(Problem::new("/externalSetMarkChain", text));
        }
        self.one_backend()?;
        for (key, conditions) in
            [("conditionsV4", &self.conditions_v4), ("conditionsV6", &self.conditions_v6)]
        {
            for (n, word) in conditions.iter().enumerate() {
                let breaks = |c: char| c.is_control() || matches!(c, ';' | '#' | '"' | '\\');
                if word.contains(breaks) {
                    let shown = printable(word);
                    let text = format!("`{shown}` would end its rule; write one word per element");
                    return Err(Problem::new(format!("/{key}/{n}"), text));
                }
            }
        }
        Ok(())
    }

    /// Options of the other backend would be silently without effect (PLG-PORTMAP-2).
    fn one_backend(&self) -> Result<(), Problem> {
        let Some(chosen) = self.backend() else { return Ok(()) };
        let mut foreign = Vec::new();
        for (key, conditions) in
            [("conditionsV4", &self.conditions_v4), ("conditionsV6", &self.conditions_v6)]
        {
            if kind_of(conditions).is_some_and(|kind| kind != chosen) {
                foreign.push(key);
            }
        }
        if chosen == PortmapBackend::Nftables {
            foreign.extend(self.mark_masq_bit.map(|_| "markMasqBit"));
            foreign.extend(self.external_set_mark_chain.as_ref().map(|_| "externalSetMarkChain"));
        }
        let Some(first) = foreign.first() else { return Ok(()) };
        let name = match chosen {
            PortmapBackend::Iptables => "iptables",
            PortmapBackend::Nftables => "nftables",
        };
        let listed: Vec<String> = foreign.iter().map(|key| format!("`{key}`")).collect();
        let text = format!(
            "{} do not belong to the backend `{name}`; remove them, or change `backend`",
            listed.join(", ")
        );
        Err(Problem::new(format!("/{first}"), text))
    }
}

/// Conditions of iptables begin with an option, those of nftables never do.
fn kind_of(conditions: &[String]) -> Option<PortmapBackend> {
    let first = conditions.first().filter(|word| !word.is_empty())?;
    Some(if first.starts_with(['-', '!']) { PortmapBackend::Iptables } else { PortmapBackend::Nftables })
}

/// What the runtime wants mapped.
pub fn mappings(config: &RawObject) -> Result<Vec<PortMapping>, Problem> {
    let runtime = runtime::config(config)?;
    let raw: Vec<RawMapping> =
        fit::key(&runtime, "portMappings").map_err(|p| p.under("/runtimeConfig"))?.unwrap_or_default();
    raw.iter().enumerate().map(|(n, raw)| raw.mapping(&format!("/runtimeConfig/portMappings/{n}"))).collect()
}

impl RawMapping {
    fn mapping(&self, place: &str) -> Result<PortMapping, Problem> {
        let port = |key: &str, n: i64| match u16::try_from(n) {
            Ok(port @ 1..) => Ok(port),
            _ => {
                let text = format!("`{key}` {n} is not a port; use 1 to 65535");
                Err(Problem::new(format!("{place}/{key}"), text))
            }
        };
        let protocol = match self.protocol.to_ascii_lowercase().as_str() {
            "" | "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => {
                let shown = printable(&self.protocol);
                let text = format!("`{shown}` has no ports that can be mapped; use `tcp`, `udp` or `sctp`");
                return Err(Problem::new(format!("{place}/protocol"), text));
            }
        };
        let host_ip = match self.host_ip.as_str() {
            "" => None,
            raw => Some(raw.parse().map_err(|_| {
                let text =
                    format!("`{}` is not an IP address; use one of the host's, or none", printable(raw));
                Problem::new(format!("{place}/hostIP"), text)
            })?),
        };
        Ok(PortMapping {
            host_port: port("hostPort", self.host_port)?,
            container_port: port("containerPort", self.container_port)?,
            protocol,
            host_ip,
        })
    }
}

#[cfg(test)]
mod tests;
