//! What the kernel of a pod says: interfaces, addresses, routes. And what the status annotation says of them.

use std::path::Path;

use anyhow::Context as _;
use manifold_e2e::netns::TestNetns;
use serde::Deserialize;
use serde_json::Value;

use super::examples::PodName;

/// One entry of the network-status annotation, as far as the demo shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Attachment {
    /// The network.
    pub(super) name: String,
    pub(super) interface: String,
    #[serde(default)]
    pub(super) ips: Vec<String>,
}

/// An interface as the pod has it.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) addresses: Vec<String>,
    pub(super) mac: String,
    pub(super) mtu: u64,
    pub(super) routes: Vec<String>,
}

/// The annotation of a pod, where the source `manifests` writes it.
pub(super) fn status(manifests: &Path, pod: &PodName) -> anyhow::Result<Value> {
    let path = manifests.join(".status").join(format!("{}_{}.json", pod.namespace, pod.name));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("pod `{pod}` has no network-status: cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("the network-status of pod `{pod}` is not JSON"))
}

pub(super) fn attachments(status: &Value) -> anyhow::Result<Vec<Attachment>> {
    Vec::deserialize(status).context("the network-status has not the form of the standard")
}

pub(super) fn interface(pod: &TestNetns, name: &str) -> anyhow::Result<Interface> {
    let links = list(pod, &["ip", "-j", "address", "show", "dev", name])?;
    let link = links.first().with_context(|| format!("the pod has no interface `{name}`"))?;
    let mut routes = list(pod, &["ip", "-j", "route", "show", "dev", name])?;
    routes.extend(list(pod, &["ip", "-j", "-6", "route", "show", "dev", name])?);
    Ok(Interface {
        addresses: of(link, "addr_info").iter().filter_map(address).collect(),
        mac: text(link, "address").to_owned(),
        mtu: link.get("mtu").and_then(Value::as_u64).unwrap_or_default(),
        routes: routes.iter().filter_map(route).collect(),
    })
}

/// Link-local ones are the kernel's and on every interface.
fn address(info: &Value) -> Option<String> {
    (text(info, "scope") != "link")
        .then(|| format!("{}/{}", text(info, "local"), of_number(info, "prefixlen")))
}

fn route(route: &Value) -> Option<String> {
    let (to, via) = (text(route, "dst"), text(route, "gateway"));
    match (to, via) {
        ("fe80::/64" | "ff00::/8", _) => None,
        (_, "") => Some(to.to_owned()),
        _ => Some(format!("{to} via {via}")),
    }
}

fn list(pod: &TestNetns, words: &[&str]) -> anyhow::Result<Vec<Value>> {
    let printed = pod.exec(words)?;
    // Some versions print nothing at all for an empty list.
    if printed.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&printed).with_context(|| format!("`{}` printed no list", words.join(" ")))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn of<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn of_number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kernels_own_routes_are_left_out() {
        let said = |dst, gateway| route(&json!({"dst": dst, "gateway": gateway}));
        assert_eq!(said("default", "10.0.0.1").as_deref(), Some("default via 10.0.0.1"));
        assert_eq!(said("10.0.0.0/24", "").as_deref(), Some("10.0.0.0/24"));
        assert_eq!(said("fe80::/64", ""), None);
    }
}
