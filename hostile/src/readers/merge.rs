//! What a plugin gets on stdin, of the list that it stands in: runtime values, the pod's `cni-args`, a device.
//!
//! The first line is a plugin object, the second the runtime's values, the third `cni-args`.

use std::collections::{BTreeMap, BTreeSet};

use manifold_cni::derive::{Derived, inject_device, merge_cni_args};
use manifold_cni::json::is_key;
use manifold_cni::{PluginConf, RawObject, Version};
use serde_json::value::RawValue;

use super::{parsed, text};
use crate::Answer;

type Values = BTreeMap<String, Box<RawValue>>;

pub(super) fn merge(input: &[u8]) -> Answer {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let plugin = match RawObject::parse(line()) {
        Ok(raw) => raw,
        Err(bad) => return Answer::refused(bad),
    };
    let mut plugin = match PluginConf::read(plugin, "") {
        Ok(plugin) => plugin,
        Err(bad) => return Answer::Refused { code: Some(bad.code), sentence: bad.to_string() },
    };
    let (runtime, cni_args) = (values(line()), values(line()));
    let others = untouched(&plugin.raw);
    if let Err(error) = merge_cni_args(&mut plugin.raw, &cni_args) {
        return error.into();
    }
    let bytes = derived(&plugin, &runtime);
    assert_eq!(untouched(&RawObject::parse(&bytes).expect("what a plugin gets is JSON")), others);
    let mut with_device = plugin.clone();
    inject_device(&mut with_device.raw, "0000:03:02.1");
    derived(&with_device, &runtime);
    Answer::Accepted(text(&bytes).into_owned())
}

fn values(line: &[u8]) -> Values {
    // They come inside the runtime's configuration, which has the same bound of depth.
    let inside = [b"{\"runtimeConfig\":", line, b"}"].concat();
    let object = match RawObject::parse(&inside) {
        Ok(_) => RawObject::parse(line).unwrap_or_default(),
        Err(_) => RawObject::default(),
    };
    object.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// One spelling of each key of ours; the values of exactly those capabilities that the plugin declares.
fn derived(plugin: &PluginConf, runtime: &Values) -> Vec<u8> {
    let name = parsed("left");
    let derived = Derived {
        name: &name,
        version: Version::V1_1_0,
        runtime: Some(runtime),
        prev_result: None,
        valid_attachments: None,
    };
    let bytes = derived.bytes(plugin);
    let read = RawObject::parse(&bytes).unwrap_or_else(|bad| panic!("{bad}: {}", text(&bytes)));
    for (ours, times) in [("name", 1), ("cniVersion", 1), ("capabilities", 0), ("prevResult", 0)] {
        assert_eq!(
            read.keys().filter(|key| is_key(key, ours)).count(),
            times,
            "`{ours}` in {}",
            text(&bytes)
        );
    }
    let given: Values = read.get_as("runtimeConfig").expect("an object of ours").unwrap_or_default();
    let declared = |key: &String| plugin.capabilities.get(key) == Some(&true);
    let expected: BTreeSet<&String> = runtime.keys().filter(|key| declared(key)).collect();
    assert_eq!(given.keys().collect::<BTreeSet<_>>(), expected);
    bytes
}

/// The keys that nobody but the plugin reads, with their values to the byte.
fn untouched(object: &RawObject) -> Vec<(String, String)> {
    const OURS: [&str; 7] =
        ["name", "cniVersion", "capabilities", "runtimeConfig", "prevResult", "args", "cni.dev/"];
    let is_ours = |key: &str| {
        OURS.iter().any(|ours| is_key(key, ours))
            || key.get(..8).is_some_and(|begin| is_key(begin, "cni.dev/"))
    };
    let others = object.iter().filter(|(key, _)| !is_ours(key));
    others.map(|(key, value)| (key.to_owned(), value.get().to_owned())).collect()
}
