//! `firewall`: lets a pod's traffic through the host's firewall, and keeps networks apart (PLG-FW-1).

use std::str::FromStr;

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use serde::Deserialize;

use crate::fit;
use crate::portmap::ChainName;
use crate::problem::{Note, Problem};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallConf {
    /// `None`: firewalld where it runs, else the host's own tool.
    pub backend: Option<FirewallBackend>,
    /// An administrator's chain, asked before ours (iptables).
    pub admin_chain: ChainName,
    pub firewalld_zone: String,
    pub ingress: IngressPolicy,
}

pub const KEYS: &[&str] = &["backend", "iptablesAdminChainName", "firewalldZone", "ingressPolicy"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirewallBackend {
    Iptables,
    Nftables,
    Firewalld,
}

/// Who may begin to talk to the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngressPolicy {
    #[default]
    Open,
    /// Pods on the same bridge.
    SameBridge,
    /// Nobody that comes over a bridge.
    Isolated,
}

impl FromStr for IngressPolicy {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "open" => Ok(Self::Open),
            "same-bridge" => Ok(Self::SameBridge),
            "isolated" => Ok(Self::Isolated),
            _ => Err(format!(
                "`{}` is not an ingress policy; use `open`, `same-bridge` or `isolated`",
                printable(raw)
            )),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    backend: Option<String>,
    #[serde(deserialize_with = "fit::empty_is_none")]
    iptables_admin_chain_name: Option<ChainName>,
    firewalld_zone: Option<String>,
    #[serde(deserialize_with = "fit::empty_is_default")]
    ingress_policy: IngressPolicy,
}

impl FirewallConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let written: Written = fit::fit(config)?;
        let usual: ChainName = "CNI-ADMIN".parse().expect("it is a chain's name");
        let zone = written.firewalld_zone.filter(|zone| !zone.is_empty());
        if zone.as_ref().is_some_and(|zone| zone.contains(|c: char| c.is_control())) {
            return Err(Problem::new("/firewalldZone", "`firewalldZone` has a control character; remove it"));
        }
        Ok(Self {
            backend: written.backend.as_deref().and_then(backend),
            admin_chain: written.iptables_admin_chain_name.unwrap_or(usual),
            firewalld_zone: zone.unwrap_or_else(|| "trusted".into()),
            ingress: written.ingress_policy,
        })
    }

    /// A backend that nobody knows acts as none, as it does in the reference.
    pub fn notes(config: &RawObject) -> Vec<Note> {
        let written: Option<String> = fit::key(config, "backend").ok().flatten();
        let odd = written.filter(|raw| !raw.is_empty() && backend(raw).is_none());
        let note = |raw: String| Note {
            pointer: "/backend".into(),
            sentence: format!(
                "`{}` is not a backend, so the host's default is used; use `iptables`, `nftables` or `firewalld`",
                printable(&raw)
            ),
        };
        odd.map(note).into_iter().collect()
    }
}

fn backend(raw: &str) -> Option<FirewallBackend> {
    match raw {
        "iptables" => Some(FirewallBackend::Iptables),
        "nftables" => Some(FirewallBackend::Nftables),
        "firewalld" => Some(FirewallBackend::Firewalld),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<FirewallConf, Problem> {
        FirewallConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    // Shows part of: PLG-FW-1
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf =
            read(r#"{"backend":"","ingressPolicy":"","firewalldZone":"","iptablesAdminChainName":""}"#)
                .unwrap();
        assert_eq!(conf, read("{}").unwrap());
        assert_eq!((conf.backend, conf.ingress), (None, IngressPolicy::Open));
        assert_eq!((conf.admin_chain.as_str(), conf.firewalld_zone.as_str()), ("CNI-ADMIN", "trusted"));
        let conf = read(r#"{"backend":"firewalld","ingressPolicy":"same-bridge","firewalldZone":"pods","iptablesAdminChainName":"MINE"}"#).unwrap();
        assert_eq!(
            (conf.backend, conf.ingress),
            (Some(FirewallBackend::Firewalld), IngressPolicy::SameBridge)
        );
        assert_eq!((conf.admin_chain.as_str(), conf.firewalld_zone.as_str()), ("MINE", "pods"));
        assert_eq!(read(r#"{"ingressPolicy":"isolated"}"#).unwrap().ingress, IngressPolicy::Isolated);
        for (raw, pointer) in [
            (r#"{"ingressPolicy":"closed"}"#, "/ingressPolicy"),
            (r#"{"iptablesAdminChainName":"x y"}"#, "/iptablesAdminChainName"),
            (r#"{"firewalldZone":"x\ny"}"#, "/firewalldZone"),
            (r#"{"backend":7}"#, "/backend"),
        ] {
            assert_eq!(read(raw).unwrap_err().pointer, pointer, "{raw}");
        }
    }

    #[test]
    fn an_unknown_backend_acts_as_none_and_is_told() {
        assert_eq!(read(r#"{"backend":"pf"}"#).unwrap().backend, None);
        let notes = |raw: &str| FirewallConf::notes(&RawObject::parse(raw.as_bytes()).unwrap());
        assert_eq!(notes(r#"{"backend":"pf"}"#).len(), 1);
        assert!(notes(r#"{"backend":"nftables"}"#).is_empty() && notes("{}").is_empty());
    }
}
