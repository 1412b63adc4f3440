//! The keys of a list beside its plugins: what is misspelt there, and what belongs into a plugin.

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use manifold_plugin_conf::spelling::nearest;

use super::finding::Draft;

const KEYS: &[&str] =
    &["cniVersion", "cniVersions", "name", "plugins", "disableCheck", "disableGC", "loadOnlyInlinedPlugins"];

/// Notes on a list; a single plugin's keys are all its own.
pub(super) fn keys(config: &str) -> Vec<Draft> {
    let Ok(top) = RawObject::parse(config.as_bytes()) else { return Vec::new() };
    if !top.contains("plugins") {
        return Vec::new();
    }
    let strangers = top.keys().filter(|k| !KEYS.contains(k) && !k.starts_with("cni.dev/"));
    strangers
        .map(|key| {
            let shown = printable(key);
            let pointer = format!("/{}", printable(&key.replace('~', "~0").replace('/', "~1")));
            let sentence = format!("a list has no key `{shown}`, so it has no effect");
            Draft::warning(&pointer, sentence).fix(match nearest(key, KEYS.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "move it into the plugin that it is for".to_owned(),
            })
        })
        .collect()
}
