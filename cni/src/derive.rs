//! The configuration that one plugin gets for one call, derived from the list it stands in.
//!
//! Works on raw JSON: keys that the protocol owns are set or taken out, every other one leaves as it came, byte by
//! byte (CNI-DRV-6).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::config::PluginConf;
use crate::json::is_key;
use crate::name::printable;
use crate::{AttachmentId, CniError, NetworkName, RawObject, Version};

#[cfg(test)]
mod tests;

/// GC's list of living attachments (CNI-GC-1).
pub const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
/// The same under the name that an early text gave it; libcni writes both (CNI-GC-2).
pub const ATTACHMENTS: &str = "cni.dev/attachments";
/// Keys with this prefix are the runtime's and never come from a configuration (CNI-DRV-5).
const RESERVED_PREFIX: &str = "cni.dev/";
/// Keys that only the runtime says.
const OWNED: [&str; 3] = ["capabilities", "runtimeConfig", "prevResult"];

fn is_reserved(key: &str) -> bool {
    key.get(..RESERVED_PREFIX.len()).is_some_and(|begin| is_key(begin, RESERVED_PREFIX))
}

/// What the runtime adds to a plugin object.
#[derive(Clone, Copy, Debug)]
pub struct Derived<'a> {
    /// Of the list; replaces what the plugin object says (CNI-DRV-1).
    pub name: &'a NetworkName,
    /// Of the list.
    pub version: Version,
    /// Values by capability. Each plugin gets those that it declares as `true`.
    pub runtime: Option<&'a BTreeMap<String, Box<RawValue>>>,
    /// The first plugin of an ADD has none.
    pub prev_result: Option<&'a RawValue>,
    /// For GC only.
    pub valid_attachments: Option<&'a [AttachmentId]>,
}

impl Derived<'_> {
    /// The bytes for the plugin's stdin.
    pub fn bytes(&self, plugin: &PluginConf) -> Vec<u8> {
        let mut keys = plugin.raw.clone();
        // Ours to say, never the configuration's, in whatever case a plugin might read it.
        keys.retain(|key| !OWNED.iter().any(|owned| is_key(key, owned)) && !is_reserved(key));
        keys.set("cniVersion", &self.version.as_str());
        keys.set("name", self.name);
        let runtime = self.runtime_config(plugin);
        if !runtime.is_empty() {
            keys.set("runtimeConfig", &runtime);
        }
        if let Some(prev) = self.prev_result {
            keys.set_raw("prevResult", prev.to_owned());
        }
        if let Some(valid) = self.valid_attachments {
            keys.set(VALID_ATTACHMENTS, &valid);
            keys.set(ATTACHMENTS, &valid);
        }
        keys.to_vec()
    }

    fn runtime_config<'v>(&'v self, plugin: &PluginConf) -> BTreeMap<&'v str, &'v RawValue> {
        let declared = |key: &str| plugin.capabilities.get(key).copied().unwrap_or_default();
        let values = self.runtime.into_iter().flatten();
        values.filter(|(key, _)| declared(key)).map(|(key, value)| (key.as_str(), value.as_ref())).collect()
    }
}

/// Merges an annotation's `cni-args` into `args.cni`; where both say something the annotation wins (MLT-DLG-12).
///
/// # Errors
/// If `args` or `args.cni` is there and no object.
pub fn merge_cni_args(
    raw: &mut RawObject,
    cni_args: &BTreeMap<String, Box<RawValue>>,
) -> Result<(), CniError> {
    if cni_args.is_empty() {
        return Ok(());
    }
    let mut args = object(raw, "args", "/args")?;
    let mut cni = object(&args, "cni", "/args/cni")?;
    for (key, value) in cni_args {
        cni.set_raw(key, value.clone());
    }
    args.set("cni", &cni);
    raw.set("args", &args);
    Ok(())
}

/// Tells the plugin which device is the pod's, under both names that plugins read (MLT-DLG-11).
pub fn inject_device(raw: &mut RawObject, device: &str) {
    raw.set("deviceID", &device);
    raw.set("pciBusID", &device);
}

fn object(of: &RawObject, key: &str, pointer: &str) -> Result<RawObject, CniError> {
    of.get_as(key).map(Option::unwrap_or_default).map_err(|_| {
        let found = of.get(key).map(RawValue::get).unwrap_or_default();
        CniError::config(format!(
            "`{pointer}` is `{}`, so `cni-args` cannot be put in; make it an object",
            printable(found)
        ))
    })
}
