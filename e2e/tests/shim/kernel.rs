//! What the kernel says, asked with `ip`.

use manifold_e2e::netns::TestNetns;
use serde_json::Value;

/// The list that `ip -j` prints.
#[track_caller]
pub(crate) fn ip(netns: &TestNetns, words: &str) -> Vec<Value> {
    let words: Vec<&str> = ["ip", "-j"].into_iter().chain(words.split(' ')).collect();
    let text = netns.exec(&words).unwrap();
    if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
}

/// Addresses of one interface, without prefix lengths and without link-local ones, sorted.
#[track_caller]
pub(crate) fn addresses(netns: &TestNetns, link: &str) -> Vec<String> {
    let links = ip(netns, &format!("address show dev {link}"));
    let all = links.iter().flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default());
    let global = all.filter(|address| address["scope"] == "global");
    let mut found: Vec<String> = global.map(|address| address["local"].as_str().unwrap().into()).collect();
    found.sort();
    found
}

#[track_caller]
pub(crate) fn mac(netns: &TestNetns, link: &str) -> String {
    ip(netns, &format!("link show dev {link}"))[0]["address"].as_str().unwrap().into()
}

#[track_caller]
pub(crate) fn mtu(netns: &TestNetns, link: &str) -> u64 {
    ip(netns, &format!("link show dev {link}"))[0]["mtu"].as_u64().unwrap()
}

/// Default routes of one family (4 or 6) as `gateway over link`, sorted.
#[track_caller]
pub(crate) fn default_routes(netns: &TestNetns, family: u8) -> Vec<String> {
    let routes = ip(netns, &format!("-{family} route show default"));
    let text = |route: &Value, key: &str| route[key].as_str().unwrap_or("nobody").to_string();
    let mut found: Vec<String> = routes
        .iter()
        .map(|route| format!("{} over {}", text(route, "gateway"), text(route, "dev")))
        .collect();
    found.sort();
    found
}
