//! Reads status annotations, ours and those of others: with and without prefix lengths, with `default` left out, with
//! keys that we never write, with keys in any case. What cannot be understood in an entry is left out of it; only a value that is no list of
//! maps is refused (NPWG-5.4-1).

use std::net::IpAddr;

use manifold_cni::convert::DNS_KEYS;
use manifold_cni::json::BadJson;
use manifold_cni::json::any_case::respell_map;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::NetworkStatus;

/// The entries of an annotation. Empty text is no entries.
///
/// # Errors
/// If the text is no status.
pub fn parse(text: &str) -> Result<Vec<NetworkStatus>, BadJson> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    manifold_cni::json::strict(text.as_bytes())?;
    let entries: Option<Vec<Foreign>> = serde_json::from_str(text)?;
    Ok(entries.unwrap_or_default().into_iter().map(Foreign::read).collect())
}

const KEYS: [&str; 10] =
    ["name", "interface", "ips", "mac", "mtu", "default", "dns", "device-info", "gateway", "default-route"];

#[derive(Deserialize)]
#[serde(transparent)]
struct Foreign(Map<String, Value>);

impl Foreign {
    fn read(mut self) -> NetworkStatus {
        respell_map(&mut self.0, &KEYS);
        if let Some(Value::Object(dns)) = self.0.get_mut("dns") {
            respell_map(dns, DNS_KEYS);
        }
        NetworkStatus {
            name: self.take("name").unwrap_or_default(),
            interface: self.take("interface").filter(|i: &String| !i.is_empty()),
            ips: self.addresses("ips").unwrap_or_default(),
            mac: self.take("mac").filter(|m: &String| !m.is_empty()),
            mtu: self.take("mtu"),
            default: self.take("default").unwrap_or_default(),
            dns: self.take("dns").unwrap_or_default(),
            device_info: self.take("device-info"),
            gateway: self.addresses("gateway").unwrap_or_default(),
            default_route: self.addresses("default-route"),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        serde_json::from_value(self.0.remove(key)?).ok()
    }

    fn addresses(&mut self, key: &str) -> Option<Vec<IpAddr>> {
        let raw: Vec<Value> = self.take(key)?;
        let address = |v: &Value| v.as_str()?.split('/').next()?.parse().ok();
        Some(raw.iter().filter_map(address).collect())
    }
}
