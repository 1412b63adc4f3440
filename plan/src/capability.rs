//! Which values each attachment's plugins get from the runtime, and whether somebody takes them.
//!
//! A request that no plugin of the network declares, or reads from CNI_ARGS, would be lost without a word, so it is
//! refused (P-COR-6). What the runtime itself passes goes to the default network only: its ports and addresses are meant for one interface
//! (NPWG-7.5-1, S-13).

use std::collections::BTreeMap;

use manifold_cni::name::printable;
use manifold_cni::{NetworkList, PluginConf};
use manifold_crds::{IpRequest, Selection};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::by_args::{self, Reach};
use crate::check_config::ipam_type;
use crate::default_network::LeftToPods;
use crate::{Refusal, Role, RuntimeInput};

/// Runtime values by capability. Each plugin still gets only those it declares.
pub type Values = BTreeMap<String, Box<RawValue>>;

/// Capability of the path to a device-info file (NPWG-DI-5.1-1).
pub const DEVICE_INFO_FILE: &str = "CNIDeviceInfoFile";
/// The device that an attachment gets.
pub const DEVICE_ID: &str = "deviceID";

/// Whether a plugin of the list declares the capability as true; `false` counts as absent.
pub fn declared(list: &NetworkList, capability: &str) -> bool {
    list.plugins.iter().any(|plugin| declares(plugin, capability))
}

fn declares(plugin: &PluginConf, capability: &str) -> bool {
    plugin.capabilities.get(capability).copied().unwrap_or_default()
}

/// What becomes of the requests of one attachment.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Values by capability, for the plugins that declare it.
    pub values: Values,
    /// For each request that no plugin takes.
    pub refused: Vec<Refusal>,
    /// For each of which nobody here can tell.
    pub notes: Vec<String>,
}

/// The values of one attachment, and what becomes of requests that no plugin declares. `guard`: what of it is left to
/// pods, where every pod is in it.
///
/// # Errors
/// If a request cannot be fulfilled by any plugin of the network.
pub fn values(
    role: Role,
    selection: Option<&Selection>,
    list: &NetworkList,
    runtime: &RuntimeInput,
    guard: Option<&LeftToPods>,
) -> Result<Delivery, Refusal> {
    let values = if role == Role::Default { runtime.runtime_config.clone() } else { Values::new() };
    let mut delivery = Delivery { values, ..Delivery::default() };
    for (key, capability, value) in selection.map(requests).unwrap_or_default() {
        if let Some(refusal) = guard.and_then(|left| left.refuse(key)) {
            delivery.refused.push(refusal);
            continue;
        }
        if declared(list, capability) {
            delivery.values.insert(capability.to_owned(), value);
            continue;
        }
        match by_args::reach(list, key) {
            // What every pod is in gives addresses and MAC addresses by name only where its author lets it.
            _ if guard.is_some() => delivery.refused.push(missing(key, capability)),
            Reach::Read => {}
            Reach::Perhaps(plugin) => delivery.notes.push(perhaps(key, capability, &plugin)),
            Reach::Nobody => delivery.refused.push(missing(key, capability)),
        }
    }
    if let Some(selection) = selection {
        prefixes(&selection.ips, list)?;
    }
    Ok(delivery)
}

/// What the selection asks for: its key, the capability's name, the value.
fn requests(selection: &Selection) -> Vec<(&'static str, &'static str, Box<RawValue>)> {
    let Selection { ips, mac, infiniband_guid, port_mappings, bandwidth, .. } = selection;
    let mut out = Vec::new();
    let mut add = |key, capability, value: Option<Box<RawValue>>| {
        out.extend(value.map(|value| (key, capability, value)));
    };
    add("ips", "ips", (!ips.is_empty()).then(|| raw(ips)));
    add("mac", "mac", mac.as_ref().map(raw));
    add("infiniband-guid", "infinibandGUID", infiniband_guid.as_ref().map(raw));
    add("portMappings", "portMappings", (!port_mappings.is_empty()).then(|| raw(port_mappings)));
    add("bandwidth", "bandwidth", bandwidth.as_ref().map(raw));
    out
}

/// Whether a device that the pod itself named, of no resource, may be handed over. The kubelet vouches for none such, and
/// it could be any device of the node, so the network's author must have said that pods choose (S-17).
///
/// # Errors
/// If no plugin of the network declares `deviceID`.
pub fn own_choice_of_device(list: &NetworkList) -> Result<(), Refusal> {
    if declared(list, DEVICE_ID) { Ok(()) } else { Err(missing("deviceID", DEVICE_ID)) }
}

pub(crate) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("values of ours have string keys only")
}

fn perhaps(key: &str, capability: &str, plugin: &str) -> String {
    let arg = by_args::arg_of(key).unwrap_or(key);
    let plugin = printable(plugin);
    format!(
        "the pod asks for `{key}`, and no plugin of the network has the capability `{capability}`; it has an effect only \
         if `{plugin}` reads `{arg}` from CNI_ARGS"
    )
}

fn missing(key: &str, capability: &str) -> Refusal {
    let or_reads =
        by_args::arg_of(key).map(|arg| format!(" or reads `{arg}` from CNI_ARGS")).unwrap_or_default();
    Refusal::new(
        format!(
            "the pod asks for `{key}`, and no plugin of the network has the capability `{capability}`{or_reads}"
        ),
        format!(
            "add `\"capabilities\": {{\"{capability}\": true}}` to the plugin of the network that can do it, or drop `{key}` \
             from the pod's annotation"
        ),
    )
}

/// Static addresses are set as they are written, so a prefix length is needed (F-INP-4).
fn prefixes(ips: &[IpRequest], list: &NetworkList) -> Result<(), Refusal> {
    let is_static = |plugin: &PluginConf| ipam_type(plugin).as_deref() == Some("static");
    match ips.iter().find(|ip| ip.prefix_len.is_none()) {
        Some(bare) if list.plugins.iter().any(is_static) => Err(Refusal::new(
            format!("the pod asks for the address `{bare}`, and IPAM `static` needs a prefix length with it"),
            format!(
                "write `{bare}/{}`, with the prefix length of the network",
                if bare.address.is_ipv4() { 24 } else { 64 }
            ),
        )),
        _ => Ok(()),
    }
}
