//! The default network that the node agent makes itself: the configuration over the node's pod CIDRs. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Map, Value, json};

use super::config::BuiltIn;
use crate::config::BUILT_IN;

/// What a Node object says that pods' traffic needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub pod_cidrs: Vec<IpNet>,
    pub addresses: Vec<IpAddr>,
}

impl Facts {
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let mut cidrs = spec.pod_cidrs.unwrap_or_default();
        cidrs.extend(spec.pod_cidr.filter(|one| !cidrs.contains(one)));
        let status = node.status.clone().unwrap_or_default();
        let internal = status.addresses.unwrap_or_default().into_iter().filter(|a| a.type_ == "InternalIP");
        Self {
            pod_cidrs: cidrs
                .iter()
                .filter_map(|cidr| cidr.parse::<IpNet>().ok())
                .map(|c| c.trunc())
                .collect(),
            addresses: internal.filter_map(|a| a.address.parse().ok()).collect(),
        }
    }
}

/// The text of the network; none while the node has no pod CIDR.
pub fn text(config: &BuiltIn, own: &Facts) -> Option<String> {
    if own.pod_cidrs.is_empty() {
        return None;
    }
    let ranges: Vec<Value> = own.pod_cidrs.iter().map(|cidr| json!([{"subnet": cidr.to_string()}])).collect();
    let mut bridge: Map<String, Value> = Map::new();
    let mut set = |key: &str, value: Value| drop(bridge.insert(key.to_owned(), value));
    set("type", json!("bridge"));
    set("bridge", json!(config.bridge));
    set("isDefaultGateway", json!(true));
    // A pod reaches itself through its Service.
    set("hairpinMode", json!(true));
    set("ipMasq", json!(true));
    if !config.cluster_cidrs.is_empty() {
        set("ipMasqExcept", json!(config.cluster_cidrs));
    }
    if config.mtu != 0 {
        set("mtu", json!(config.mtu));
    }
    set("ipam", json!({"type": "host-local", "ranges": ranges}));
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let list = json!({"cniVersion": "1.0.0", "name": BUILT_IN, "plugins": [bridge, portmap]});
    Some(serde_json::to_string_pretty(&list).expect("texts and numbers always serialise"))
}

/// By which address the pods of every other node are reached.
pub fn ways(own: &str, nodes: &BTreeMap<String, Facts>) -> BTreeMap<IpNet, IpAddr> {
    let mut ways = BTreeMap::new();
    for (_, facts) in nodes.iter().filter(|(name, _)| *name != own) {
        for cidr in &facts.pod_cidrs {
            let same = |address: &&IpAddr| address.is_ipv4() == cidr.addr().is_ipv4();
            if let Some(address) = facts.addresses.iter().find(same) {
                ways.insert(*cidr, *address);
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cidrs: &[&str], addresses: &[&str]) -> Facts {
        Facts {
            pod_cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_network_has_a_range_for_each_pod_cidr_and_is_one_that_our_plugins_take() {
        let config = BuiltIn {
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            mtu: 1400,
            ..BuiltIn::default()
        };
        assert_eq!(text(&config, &Facts::default()), None);
        for cidrs in [&["10.244.1.0/24"][..], &["fd00:1::/64"], &["10.244.1.0/24", "fd00:1::/64"]] {
            let text = text(&config, &facts(cidrs, &[])).unwrap();
            let list: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(list["plugins"][0]["ipam"]["ranges"].as_array().unwrap().len(), cidrs.len());
            let reference = manifold_crds::NadRef::new("a", "b").unwrap();
            let nad = manifold_crds::Nad::new(reference, Some(&text));
            let policy = crate::config::Config::default().policy().unwrap();
            let report = manifold_plan::check_config::examine(&nad, &policy);
            assert_eq!(report.findings, [], "{text}");
        }
    }

    #[test]
    fn every_other_node_is_reached_by_its_address_of_the_same_family() {
        let nodes = BTreeMap::from([
            ("a".to_owned(), facts(&["10.244.0.0/24"], &["192.168.0.1"])),
            ("b".to_owned(), facts(&["10.244.1.0/24", "fd00:1::/64"], &["fd01::2", "192.168.0.2"])),
            ("c".to_owned(), facts(&["10.244.2.0/24"], &["fd01::3"])),
        ]);
        let ways: Vec<String> = ways("a", &nodes).iter().map(|(cidr, by)| format!("{cidr} {by}")).collect();
        assert_eq!(ways, ["10.244.1.0/24 192.168.0.2", "fd00:1::/64 fd01::2"]);
    }
}
