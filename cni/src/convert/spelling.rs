//! The keys of a result in their own spelling, in whatever case a plugin wrote them.
//!
//! The result's types keep unknown keys beside those they know, so the reader of structs cannot tell which are which;
//! this table does.

use serde_json::{Map, Value};

use super::OWN_KEYS;
use crate::json::any_case::respell_map;

const INTERFACE: &[&str] = &["name", "mac", "mtu", "sandbox", "socketPath", "pciID"];
const IP: &[&str] = &["address", "gateway", "interface", "version"];
/// Of one route; `ipam` has them too.
pub const ROUTE: &[&str] = &["dst", "gw", "mtu", "advmss", "priority", "table", "scope"];
/// The keys of `dns`.
pub const DNS: &[&str] = &["nameservers", "domain", "search", "options"];
/// `ip4` and `ip6` of 0.1.0 and 0.2.0.
const OLD_SIDE: &[&str] = &["ip", "gateway", "routes"];

pub(super) fn result(keys: &mut Map<String, Value>) {
    respell_map(keys, &OWN_KEYS);
    for (key, value) in keys.iter_mut() {
        match key.as_str() {
            "interfaces" => objects(value, INTERFACE),
            "ips" => objects(value, IP),
            "routes" => objects(value, ROUTE),
            "dns" => object(value, DNS),
            "ip4" | "ip6" => {
                object(value, OLD_SIDE);
                if let Some(routes) = value.get_mut("routes") {
                    objects(routes, ROUTE);
                }
            }
            _ => {}
        }
    }
}

/// One route, as a configuration has it.
pub fn route(keys: &mut Map<String, Value>) {
    respell_map(keys, ROUTE);
}

fn objects(list: &mut Value, known: &[&str]) {
    list.as_array_mut().into_iter().flatten().for_each(|item| object(item, known));
}

fn object(value: &mut Value, known: &[&str]) {
    if let Some(keys) = value.as_object_mut() {
        respell_map(keys, known);
    }
}
