//! Whether a definition is one that pods can use: the checks that the plan makes, without a pod.
//!
//! The admission webhook refuses by this, so that a slip shows when the definition is written and not when a pod starts
//! (P-USE-2).

use manifold_cni::{NetworkList, Version};
use manifold_crds::Nad;

use crate::policy::Ours;
use crate::{Policy, Refusal, resolve};

/// What a definition came out as.
#[derive(Clone, Debug)]
pub struct Checked {
    /// `None` where it refers to a configuration on the nodes, which nobody but the node can see.
    pub list: Option<NetworkList>,
    /// Worth telling, no reason to refuse.
    pub notes: Vec<String>,
}

/// Checks a definition as it stands.
pub fn check(nad: &Nad, policy: &Policy) -> Result<Checked, Refusal> {
    let whole = || -> Result<Checked, Refusal> {
        nad.resource_name().map_err(|e| {
            Refusal::new(
                format!("annotation `{}`: {e}", manifold_crds::keys::RESOURCE_NAME),
                "name a resource as the device plugin does, like `vendor.example/name`",
            )
        })?;
        let Some(config) = &nad.config else { return Ok(Checked { list: None, notes: Vec::new() }) };
        let list = resolve::parse(config.as_bytes(), policy.limits.config_bytes)?;
        let notes = plugins(&list, &policy.ours)?;
        Ok(Checked { list: Some(list), notes })
    };
    whole().map_err(|refusal| refusal.about(&nad.reference))
}

/// The keys of bundled plugins, by the rules that the plugins themselves read by. Other types are somebody else's to
/// judge. What is odd but works comes back as notes.
pub fn plugins(list: &NetworkList, ours: &Ours) -> Result<Vec<String>, Refusal> {
    let mut notes = Vec::new();
    for plugin in list.plugins.iter().filter(|p| ours.has(&p.kind)) {
        // As the plugin will get it: the list's version decides some rules.
        let mut raw = plugin.raw.clone();
        raw.set("cniVersion", &list.version.unwrap_or(Version::NEWEST).as_str());
        let kind = plugin.kind.as_str();
        let found = manifold_plugin_conf::check(kind, &raw).map_err(|problem| {
            Refusal::new(
                format!("the configuration of plugin `{kind}` is not valid: {problem}"),
                "correct the network's configuration",
            )
        })?;
        notes.extend(
            found.into_iter().map(|n| format!("plugin `{kind}`: {}, at `{}`", n.sentence, n.pointer)),
        );
    }
    Ok(notes)
}
