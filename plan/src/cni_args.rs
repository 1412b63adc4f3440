//! `cni-args` of an annotation: they go into `args.cni` of every plugin (NPWG-4.1.2.1.6-4), as far as the network lets them.
//!
//! Bundled plugins act on some keys of `args.cni`: addresses, MAC addresses, settings of the interface. Whoever creates pods
//! writes `cni-args`, so such a key reaches them only where the definition's author lets pods ask for it (S-23): by a
//! capability of that name, or by writing the key in `args.cni` himself, as a value that pods may replace. `ips` and `mac`
//! of a further network need neither, as the annotation's own `ips` and `mac` do not (COMPAT-3). All other keys mean
//! something to plugins of others only, and pass.

use std::collections::BTreeMap;

use manifold_cni::derive::merge_cni_args;
use manifold_cni::json::is_key;
use manifold_cni::{NetworkList, PluginConf, RawObject};
use manifold_plugin_conf::keys::REQUESTS;
use serde_json::value::RawValue;

use crate::check_config::ipam_type;
use crate::default_network::LeftToPods;
use crate::{Refusal, by_args, capability};

/// A key that plugins of the list would act on and that no pod may ask.
#[derive(Clone, Debug)]
pub(crate) struct Withheld {
    key: &'static str,
    pub(crate) refusal: Refusal,
}

/// The keys among `asked` that do not reach the plugins which would act on them. `guard`: what of the network is left to
/// pods, where every pod is in it.
pub(crate) fn withheld(guard: Option<&LeftToPods>, asked: &RawObject, list: &NetworkList) -> Vec<Withheld> {
    let is_asked = |key: &&&str| asked.keys().any(|spelt| is_key(spelt, key));
    let refused = |key: &&'static str| {
        let reader = list.plugins.iter().find(|plugin| acts_on(plugin, key))?;
        let refusal = refuse(guard, key, reader, list)?;
        Some(Withheld { key, refusal })
    };
    REQUESTS.iter().filter(is_asked).filter_map(refused).collect()
}

fn refuse(guard: Option<&LeftToPods>, key: &str, reader: &PluginConf, list: &NetworkList) -> Option<Refusal> {
    if let Some(refusal) = guard.and_then(|left| left.refuse(key)) {
        return Some(Refusal { what: format!("`cni-args`: {}", refusal.what), ..refusal });
    }
    let is_open = guard.is_none() && by_args::arg_of(key).is_some();
    let lets = |plugin: &PluginConf| acts_on(plugin, key) && is_written(plugin, key);
    if is_open || capability::declared(list, key) || list.plugins.iter().any(lets) {
        return None;
    }
    Some(Refusal::new(
        format!("the pod asks for `{key}` in `cni-args`, but the network does not let pods choose it"),
        format!(
            "add `\"capabilities\": {{\"{key}\": true}}` to plugin `{}` of the definition, or drop `{key}` from `cni-args`",
            reader.kind
        ),
    ))
}

/// Types whose rules are known, whichever copy of them a node runs.
fn acts_on(plugin: &PluginConf, key: &str) -> bool {
    match key {
        "ips" => ipam_type(plugin).is_some_and(|ipam| by_args::READ_IP.contains(&ipam.as_str())),
        "mac" => matches!(plugin.kind.as_str(), "bridge" | "tuning"),
        _ => plugin.kind.as_str() == "tuning",
    }
}

/// Whether the definition's author gives the key a value that pods may replace.
fn is_written(plugin: &PluginConf, key: &str) -> bool {
    let args = plugin.raw.get_as::<RawObject>("args").ok().flatten();
    args.and_then(|args| args.get_as::<RawObject>("cni").ok().flatten()).is_some_and(|cni| cni.contains(key))
}

/// Puts what is asked into every plugin, without what is withheld from it.
///
/// # Errors
/// If a plugin's own `args` are no object.
pub(crate) fn merge(list: &mut NetworkList, asked: &RawObject, withheld: &[Withheld]) -> Result<(), Refusal> {
    for plugin in &mut list.plugins {
        let reaches = |spelt: &str| !withheld.iter().any(|w| is_key(spelt, w.key) && acts_on(plugin, w.key));
        let args: BTreeMap<String, Box<RawValue>> = asked
            .iter()
            .filter(|(key, _)| reaches(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        merge_cni_args(&mut plugin.raw, &args).map_err(|e| {
            Refusal::new(
                format!("plugin `{}`: {}", plugin.kind, e.msg),
                "correct `args` in the network's configuration",
            )
        })?;
    }
    Ok(())
}
