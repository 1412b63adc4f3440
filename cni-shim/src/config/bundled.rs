//! Whether a bundled plugin or the one on disk is used, where both exist (`plugins.bundled`).

use std::collections::BTreeSet;

use manifold_cni::{CniError, PluginType};
use serde_json::Value;

use super::keys::Keys;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bundled {
    /// The bundled one, wherever there is one.
    #[default]
    Prefer,
    /// The one on disk; the bundled one where none is there.
    Fallback,
    Off,
    /// The bundled ones of this list, all others from disk.
    Only(BTreeSet<PluginType>),
}

/// Which of the two is tried, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    BundledThenDisk,
    DiskThenBundled,
    DiskOnly,
}

impl Bundled {
    pub fn choice(&self, plugin: &PluginType) -> Choice {
        match self {
            Self::Prefer => Choice::BundledThenDisk,
            Self::Fallback => Choice::DiskThenBundled,
            Self::Only(list) if list.contains(plugin) => Choice::BundledThenDisk,
            Self::Off | Self::Only(_) => Choice::DiskOnly,
        }
    }

    pub(super) fn read(entry: &Keys<'_>) -> Result<Self, CniError> {
        let Some(plugins) = entry.object("plugins")? else { return Ok(Self::default()) };
        let keys = Keys::inside(&plugins, "plugins");
        let wrong = || keys.wrong("bundled", "`prefer`, `fallback`, `off` or a list of plugin types");
        match keys.value("bundled") {
            None => Ok(Self::Prefer),
            Some(Value::String(word)) => match word.as_str() {
                "prefer" => Ok(Self::Prefer),
                "fallback" => Ok(Self::Fallback),
                "off" => Ok(Self::Off),
                _ => Err(wrong()),
            },
            Some(Value::Array(items)) => {
                let kind = |v: &Value| v.as_str().and_then(|t| t.parse().ok()).ok_or_else(wrong);
                items.iter().map(kind).collect::<Result<_, _>>().map(Self::Only)
            }
            Some(_) => Err(wrong()),
        }
    }
}
