//! How large the status will be, judged before anything is attached: an annotation that the API server would refuse
//! is no reason to find out afterwards (F-INP-1).
//!
//! An upper bound for results as plugins give them: each address asked for or configured, or two where IPAM chooses.

use manifold_cni::{NetworkList, RawObject};
use manifold_crds::Selection;
use serde_json::Value;

use crate::{Limits, Refusal};

/// An entry with every key, without its name, addresses, DNS and device.
const ENTRY: usize = 260;
/// The longest IPv6 address, quotes and comma.
const ADDRESS: usize = 42;
/// What a device description takes with all of its keys.
const DEVICE: usize = 1024;

/// The bytes that the entry of one attachment takes at most.
pub fn entry(display: &str, list: &NetworkList, selection: Option<&Selection>, device: bool) -> usize {
    let configured: usize = list.plugins.iter().map(|p| configured(&p.raw)).sum();
    let asked = selection.map_or(0, |s| s.ips.len());
    let gateways = 2 * 2 * ADDRESS;
    let device = if device { DEVICE } else { 0 };
    ENTRY + display.len() + (asked + 2) * ADDRESS + gateways + configured + device
}

/// The room for what a plugin object sets itself: addresses of `static`, DNS.
fn configured(raw: &RawObject) -> usize {
    let ipam: RawObject = raw.get_as("ipam").ok().flatten().unwrap_or_default();
    let count = |key: &str| ipam.get_as::<Vec<Value>>(key).ok().flatten().map_or(0, |list| list.len());
    let dns = raw.get("dns").map_or(0, |dns| dns.get().len());
    let ipam_dns = ipam.get("dns").map_or(0, |dns| dns.get().len());
    let conf = raw.get_as::<Value>("runtimeConfig").ok().flatten().map_or(0, |v| v.to_string().len());
    (count("addresses") + count("ranges")) * ADDRESS + dns + ipam_dns + conf
}

/// Refuses what would not fit.
///
/// # Errors
/// If the status would be longer than allowed.
pub fn check(bytes: usize, networks: usize, limits: &Limits) -> Result<(), Refusal> {
    if bytes <= limits.status_bytes {
        return Ok(());
    }
    Err(Refusal::new(
        format!(
            "the status of {networks} networks would have up to {bytes} bytes, and an annotation of {} is allowed",
            limits.status_bytes
        ),
        "ask for fewer networks",
    ))
}
