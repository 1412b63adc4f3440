//! What rtnetlink knows of a namespace: links, addresses, routes, neighbours, and what bridges forward.

use serde_json::Value;

use super::Tool;
use super::fact::{Facts, Kind, flatten};
use super::netlink::Present;

/// Returns the names of the links, for what is asked link by link.
pub(super) fn look(
    place: &str,
    tool: &Tool<'_>,
    present: &Present,
    facts: &mut Facts,
) -> anyhow::Result<Vec<String>> {
    let [links, nexthops, permanent, proxies, routes] = tool.lists(
        &["ip", "-d"],
        [
            "address show",
            "nexthop show",
            "neigh show nud permanent",
            "neigh show proxy",
            "route show table all",
        ],
    )?;
    let has_bridge = links.iter().any(is_bridge);
    let names = links.into_iter().map(|link| add_link(place, link, facts)).collect();
    each(place, Kind::Nexthop, &nexthops, &["id"], facts);
    each(place, Kind::Neighbour, &permanent, &["dst", "dev"], facts);
    each(place, Kind::Neighbour, &proxies, &["dst", "dev"], facts);
    routes.into_iter().for_each(|route| add_route(place, route, facts));
    if has_bridge || present.forwarding {
        look_at_bridges(place, tool, facts)?;
    }
    Ok(names)
}

fn is_bridge(link: &Value) -> bool {
    link.pointer("/linkinfo/info_kind").is_some_and(|kind| kind == "bridge")
}

fn look_at_bridges(place: &str, tool: &Tool<'_>, facts: &mut Facts) -> anyhow::Result<()> {
    let [forwarding, groups, vlans] = tool.lists(&["bridge"], ["fdb show", "mdb show", "vlan show"])?;
    each(place, Kind::Forwarding, &forwarding, &["mac", "ifname", "vlan", "dst"], facts);
    add_groups(place, &groups, facts);
    add_vlans(place, &vlans, facts);
    Ok(())
}

/// What nearly every route is, is left out of names and sentences.
fn add_route(place: &str, mut route: Value, facts: &mut Facts) {
    if let Some(object) = route.as_object_mut() {
        for (key, usual) in [("type", "unicast"), ("table", "main"), ("scope", "global")] {
            if object.get(key).is_some_and(|value| value == usual) {
                object.remove(key);
            }
        }
    }
    facts.add(place, Kind::Route, named(&route, &["type", "dst", "dev", "table"]), flatten(&route));
}

fn each(place: &str, kind: Kind, list: &[Value], name: &[&str], facts: &mut Facts) {
    for item in list {
        facts.add(place, kind, named(item, name), flatten(item));
    }
}

/// A link with its addresses, which are facts of their own.
fn add_link(place: &str, mut link: Value, facts: &mut Facts) -> String {
    let name = word(&link, "ifname");
    for address in inner(&link, "addr_info") {
        let words = format!("{}/{} on {name}", word(address, "local"), word(address, "prefixlen"));
        facts.add(place, Kind::Address, words, flatten(address));
    }
    add_hardware(place, &link, facts);
    if let Some(object) = link.as_object_mut() {
        object.remove("addr_info");
    }
    facts.add(place, Kind::Link, name.clone(), flatten(&link));
    name
}

/// Names, aliases and addresses are what a pod can set. Where a device is on its bus it cannot.
fn add_hardware(place: &str, link: &Value, facts: &mut Facts) {
    let (bus, device) = (word(link, "parentbus"), word(link, "parentdev"));
    if !device.is_empty() {
        // A card with several ports has one address for all of them.
        let fields = [("port".to_string(), word(link, "phys_port_name"))].into();
        facts.add(place, Kind::Hardware, format!("{bus} {device}"), fields);
    }
}

/// `[{"mdb": [{"dev", "port", "grp", "state"}], "router": {}}]`
fn add_groups(place: &str, list: &[Value], facts: &mut Facts) {
    for entry in list.iter().flat_map(|bridge| inner(bridge, "mdb")) {
        facts.add(place, Kind::Group, named(entry, &["grp", "port", "dev", "vid"]), flatten(entry));
    }
}

/// `[{"ifname": "v0", "vlans": [{"vlan": 1, "vlanEnd": 4, "flags": ["PVID"]}]}]`
fn add_vlans(place: &str, list: &[Value], facts: &mut Facts) {
    for port in list {
        for vlan in inner(port, "vlans") {
            let name = format!("{} on {}", word(vlan, "vlan"), word(port, "ifname"));
            facts.add(place, Kind::Vlan, name, flatten(vlan));
        }
    }
}

fn inner<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn named(value: &Value, keys: &[&str]) -> String {
    let words: Vec<String> =
        keys.iter().map(|key| word(value, key)).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As iproute2 prints it; for kernels without VLAN filtering, where none can be planted.
    // Proves: T-1
    #[test]
    fn a_vlan_on_a_port_is_a_fact() {
        let port = |vlans: Value| {
            let mut facts = Facts::default();
            vlans_of(&json!([{"ifname": "v0", "vlans": vlans}]), &mut facts);
            facts.into_snapshot()
        };
        let before = port(json!([{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}]));
        let after =
            port(json!([{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}, {"vlan": 7, "flags": []}]));
        assert_eq!(before.diff(&after), ["host: bridge VLAN `7 on v0` appeared: flags , vlan 7"]);
        let after = port(json!([{"vlan": 1, "flags": []}]));
        assert_eq!(before.diff(&after).len(), 1);
    }

    /// For machines without a card to give away.
    // Proves: T-1
    #[test]
    fn a_card_that_is_left_in_a_pod_under_another_name_and_address_is_told_by_its_bus() {
        let links = |all: [(&str, Value); 2]| {
            let mut facts = Facts::default();
            for (place, link) in all {
                add_link(place, link, &mut facts);
            }
            facts.into_snapshot()
        };
        let card = json!({"ifname": "eth1", "address": "02:00:00:00:00:01", "parentbus": "pci", "parentdev": "0000:03:00.1"});
        let veth = json!({"ifname": "net1", "address": "02:00:00:00:00:09"});
        // Name and address are swapped: without the bus each place has what it had.
        let disguised = json!({"ifname": "net1", "address": "02:00:00:00:00:09", "parentbus": "pci", "parentdev": "0000:03:00.1"});
        let impostor = json!({"ifname": "eth1", "address": "02:00:00:00:00:01"});
        let told =
            links([("host", card), ("pod 1", veth)]).diff(&links([("host", impostor), ("pod 1", disguised)]));
        for expected in
            ["host: hardware `pci 0000:03:00.1` vanished", "pod 1: hardware `pci 0000:03:00.1` appeared"]
        {
            assert!(told.iter().any(|sentence| sentence.starts_with(expected)), "{told:#?}");
        }
    }

    fn vlans_of(list: &Value, facts: &mut Facts) {
        add_vlans("host", list.as_array().unwrap(), facts);
    }
}
