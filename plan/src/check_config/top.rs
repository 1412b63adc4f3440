//! The keys of a list beside its plugins: what is misspelt there, and what belongs into a plugin.

use manifold_cni::RawObject;
use manifold_cni::json::is_key;
use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;
use manifold_plugin_conf::keys::odd_case;

use super::finding::Draft;

const KEYS: &[&str] =
    &["cniVersion", "cniVersions", "name", "plugins", "disableCheck", "disableGC", "loadOnlyInlinedPlugins"];

/// The version replaces what the plugin says before its own keys are looked at.
const VERSION_KEYS: &[&str] = &["cniVersion", "cniVersions"];

/// Notes on a list; a single plugin's keys are all its own but for the version.
pub(super) fn keys(config: &str) -> Vec<Draft> {
    let Ok(top) = RawObject::parse(config.as_bytes()) else { return Vec::new() };
    let odd = |known: &[&str]| {
        let notes = odd_case(&top, known, "").into_iter();
        notes.map(|note| Draft::warning(&note.pointer, note.sentence)).collect::<Vec<_>>()
    };
    if !top.contains("plugins") {
        return odd(VERSION_KEYS);
    }
    let known = |key: &&str| KEYS.iter().any(|name| is_key(key, name));
    let strangers = top.keys().filter(|k| !known(k) && !k.starts_with("cni.dev/"));
    let strangers = strangers.map(|key| {
        let shown = printable(key);
        let pointer = format!("/{}", printable(&key.replace('~', "~0").replace('/', "~1")));
        let sentence = format!("a list has no key `{shown}`, so it has no effect");
        Draft::warning(&pointer, sentence).fix(match nearest(key, KEYS.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "move it into the plugin that it is for".to_owned(),
        })
    });
    odd(KEYS).into_iter().chain(strangers).collect()
}
