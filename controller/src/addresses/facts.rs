//! A pod as the leader of addresses sees it: which addresses it shows, and what it asks for while it shows none.

use std::borrow::Cow;
use std::net::IpAddr;

use manifold_crds::{Namespace, PodName};
use manifold_plan::{Pod, Policy, Role, names, want};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::objects::Malformed;
use crate::objects::unreadable;
use crate::usage::Uid;

/// What a pod says.
#[derive(Clone, Debug)]
pub(super) struct PodFacts {
    pub(super) uid: Uid,
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) node: Option<String>,
    pub(super) is_going: bool,
    /// By network, as its status names it; without the default network's.
    pub(super) shown: Vec<(String, IpAddr)>,
    /// None once it has a status.
    pub(super) asks: Option<Asks>,
    /// The IPAMClaims that it names, in its namespace.
    pub(super) claims: Vec<String>,
}

/// What a pod without a status asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    /// Addresses by name, of these networks.
    pub(super) wishes: Vec<(String, IpAddr)>,
    /// Its StatefulSet.
    pub(super) set: Option<Owner>,
    /// Its interfaces that no claim is named for, by network.
    pub(super) interfaces: Vec<(String, String)>,
}

/// Who owns a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: String,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Spec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    annotations: Option<Annotations>,
    #[serde(borrow, default)]
    owner_references: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "k8s.v1.cni.cncf.io/networks")]
    networks: Option<String>,
    #[serde(rename = "v1.multus-cni.io/default-network")]
    default_network: Option<String>,
    #[serde(rename = "k8s.v1.cni.cncf.io/network-status")]
    status: Option<String>,
}

impl PodFacts {
    pub(super) fn read(raw: &RawValue, policy: &Policy) -> Result<Self, Malformed> {
        let Object { metadata, spec } = serde_json::from_str(raw.get()).map_err(|e| unreadable(raw, &e))?;
        let malformed =
            |why: String| Malformed { reference: format!("{}/{}", metadata.namespace, metadata.name), why };
        let uid = Uid::parse(&metadata.uid).ok_or_else(|| malformed("its UID is not a UUID".to_owned()))?;
        let pod = Pod {
            namespace: metadata.namespace.parse::<Namespace>().map_err(|e| malformed(format!("{e}")))?,
            name: metadata.name.parse::<PodName>().map_err(|e| malformed(format!("{e}")))?,
            uid: None,
            networks: metadata.annotations.as_ref().and_then(|all| all.networks.clone()),
            default_network: metadata.annotations.as_ref().and_then(|all| all.default_network.clone()),
        };
        let status = metadata.annotations.and_then(|all| all.status).filter(|text| !text.trim().is_empty());
        let set = metadata.owner_references.iter().find(|owner| owner.kind == "StatefulSet");
        let set = set.map(|owner| Owner { name: owner.name.to_string(), uid: owner.uid.to_string() });
        let (asks, claims) = asked(&pod, policy, set);
        Ok(Self {
            uid,
            name: format!("{}/{}", pod.namespace, pod.name),
            version: metadata.resource_version.parse().unwrap_or(0),
            node: Some(spec.node_name.into_owned()).filter(|node| !node.is_empty()),
            is_going: metadata.deletion_timestamp.is_some(),
            asks: if status.is_none() { asks } else { None },
            shown: status.map(|text| shown(&text)).unwrap_or_default(),
            claims,
        })
    }
}

/// What a status shows. One that nobody can read shows nothing.
fn shown(status: &str) -> Vec<(String, IpAddr)> {
    let entries = manifold_crds::status::parse(status).unwrap_or_default();
    let further = entries.into_iter().filter(|entry| !entry.default);
    further.flat_map(|entry| entry.ips.into_iter().map(move |ip| (entry.name.clone(), ip))).collect()
}

fn asked(pod: &Pod, policy: &Policy, set: Option<Owner>) -> (Option<Asks>, Vec<String>) {
    if pod.networks.as_deref().is_none_or(|text| text.trim().is_empty()) {
        return (None, Vec::new());
    }
    // A pod that started before `strict` was switched on still has its networks.
    let policy = &Policy { strict: false, ..policy.clone() };
    let Ok(wanted) = want(pod, policy) else { return (None, Vec::new()) };
    let Ok(runtime) = "eth0".parse() else { return (None, Vec::new()) };
    let Ok(names) = names::settle(&runtime, &wanted.attachments) else { return (None, Vec::new()) };
    let (mut asks, mut claims) = (Asks { set, ..Asks::default() }, Vec::new());
    for (want, interface) in wanted.attachments.iter().zip(&names) {
        let Some(network) = want.reference().filter(|_| want.role == Role::Selected) else { continue };
        let Some(selection) = &want.selection else { continue };
        let network = network.to_string();
        asks.wishes.extend(selection.ips.iter().map(|ip| (network.clone(), ip.address)));
        match &selection.ipam_claim_reference {
            Some(claim) => claims.push(claim.to_string()),
            None if selection.ips.is_empty() => asks.interfaces.push((network, interface.to_string())),
            None => {}
        }
    }
    (Some(asks), claims)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn read(object: &serde_json::Value) -> PodFacts {
        let policy = Config::parse("{}").unwrap().policy().unwrap();
        PodFacts::read(&serde_json::value::to_raw_value(object).unwrap(), &policy).unwrap()
    }

    fn pod(annotations: &serde_json::Value) -> serde_json::Value {
        json!({
            "metadata": {
                "uid": "0f1e2d3c-0000-4000-8000-0123456789ab", "namespace": "shop", "name": "web-0", "resourceVersion": "41",
                "annotations": annotations,
                "ownerReferences": [{"kind": "StatefulSet", "name": "web", "uid": "s-1", "apiVersion": "apps/v1"}],
            },
            "spec": {"nodeName": "worker-7", "containers": [{"name": "a"}]},
            "status": {"phase": "Pending"},
        })
    }

    #[test]
    fn a_pod_with_a_status_shows_addresses_and_asks_for_nothing() {
        let status = r#"[{"name": "cbr0", "ips": ["10.244.0.5"], "default": true},
            {"name": "shop/left", "interface": "net1", "ips": ["10.1.0.5/24", "fd00::5"]}]"#;
        let facts = read(&pod(&json!({
            "k8s.v1.cni.cncf.io/networks": "left", "k8s.v1.cni.cncf.io/network-status": status,
        })));
        let shown: Vec<String> = facts.shown.iter().map(|(network, ip)| format!("{network} {ip}")).collect();
        assert_eq!(shown, ["shop/left 10.1.0.5", "shop/left fd00::5"]);
        assert_eq!(
            (facts.node.as_deref(), facts.asks, facts.name.as_str()),
            (Some("worker-7"), None, "shop/web-0")
        );
    }

    #[test]
    fn a_pod_without_a_status_asks_for_addresses_claims_and_interfaces() {
        let networks = r#"[{"name": "left", "ips": ["10.1.0.9"]}, {"name": "right"}, {"name": "far", "namespace": "default"},
            {"name": "left", "ipam-claim-reference": "vm-a.left"}]"#;
        let facts = read(&pod(&json!({"k8s.v1.cni.cncf.io/networks": networks})));
        let asks = facts.asks.unwrap();
        assert_eq!(asks.wishes, [("shop/left".to_owned(), IpAddr::from([10, 1, 0, 9]))]);
        let named = |network: &str, interface: &str| (network.to_owned(), interface.to_owned());
        assert_eq!(asks.interfaces, [named("shop/right", "net2"), named("default/far", "net3")]);
        assert_eq!((facts.claims, asks.set.unwrap().name), (vec!["vm-a.left".to_owned()], "web".to_owned()));
        assert_eq!(read(&pod(&json!({}))).asks, None);
    }
}
