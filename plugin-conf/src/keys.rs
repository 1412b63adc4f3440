//! Which keys a bundled plugin reads, and a note on each that it does not.
//!
//! An unknown key is no error: it may belong to an executed delegate, and it survives the way to it. But a misspelt
//! key is silently without effect, so it is told; so is one that is read although its case differs.

use manifold_cni::RawObject;
use manifold_cni::json::is_key;
use manifold_cni::name::printable;

use crate::problem::{Note, step};
use manifold_cni::spelling::nearest;

/// Keys of the protocol, which every plugin may carry, and those that we add for a device.
pub const PROTOCOL: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "ipam",
    "dns",
    "args",
    "runtimeConfig",
    "prevResult",
    "capabilities",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "ipMasq",
    "deviceID",
    "pciBusID",
];

/// Those of the protocol that the caller of a plugin reads, whoever the plugin is.
pub const LIST: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "ipam",
    "args",
    "capabilities",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];

/// Keys of `args.cni` that bundled plugins read.
pub const REQUESTS: &[&str] = &["ips", "mac", "sysctl", "promisc", "mtu", "allmulti", "txQLen"];

/// How far an object belongs to us alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Every key should be one of ours.
    Ours,
    /// An executed delegate reads it too: only what looks like a slip of one of our keys is told.
    Shared,
}

/// One note for each key of `object` that is a known one in another case.
pub fn odd_case(object: &RawObject, known: &[&str], place: &str) -> Vec<Note> {
    let note = |key: &str| {
        let name = known.iter().find(|name| is_key(key, name)).filter(|name| **name != key)?;
        let shown = printable(key);
        let sentence = match object.spelling_of(name) == Some(key) {
            true => format!("the key `{shown}` is read as `{name}`; write `{name}`"),
            false => format!("the key `{shown}` has no effect beside `{name}`; keep one of the two"),
        };
        Some(Note { pointer: format!("{place}{}", step(key)), sentence })
    };
    object.keys().filter_map(note).collect()
}

/// One note for each key of `object` that is not in `known`, or not in its spelling.
pub fn unknown(object: &RawObject, known: &[&str], place: &str, reader: &str, owner: Owner) -> Vec<Note> {
    let is_known = |key: &str| known.iter().any(|name| is_key(key, name));
    let strangers = object.keys().filter(|k| !is_known(k) && !k.starts_with("cni.dev/"));
    let note = |key: &str| {
        let meant = nearest(key, known.iter().copied());
        if meant.is_none() && owner == Owner::Shared {
            return None;
        }
        let shown = printable(key);
        let sentence = match meant {
            Some(meant) => format!("{reader} does not know the key `{shown}`; did you mean `{meant}`?"),
            None => format!("{reader} does not know the key `{shown}`, so it has no effect; remove it"),
        };
        Some(Note { pointer: format!("{place}{}", step(key)), sentence })
    };
    let mut notes = odd_case(object, known, place);
    notes.extend(strangers.filter_map(note));
    notes
}
