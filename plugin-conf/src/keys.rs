//! Which keys a bundled plugin reads, and a note on each that it does not.
//!
//! An unknown key is no error: it may belong to an executed delegate, and it survives the way to it. But a misspelt
//! key is silently without effect, so it is told.

use manifold_cni::RawObject;
use manifold_cni::name::printable;

use crate::problem::{Note, step};
use crate::spelling::nearest;

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

/// How far an object belongs to us alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Every key should be one of ours.
    Ours,
    /// An executed delegate reads it too: only what looks like a slip of one of our keys is told.
    Shared,
}

/// One note for each key of `object` that is not in `known`.
pub fn unknown(object: &RawObject, known: &[&str], place: &str, reader: &str, owner: Owner) -> Vec<Note> {
    let strangers = object.keys().filter(|k| !known.contains(k) && !k.starts_with("cni.dev/"));
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
    strangers.filter_map(note).collect()
}
