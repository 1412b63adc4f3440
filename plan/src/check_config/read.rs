//! From the text of a configuration to its plugins, or what is wrong with the text and how to mend it.

use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;
use manifold_cni::{BadConfig, NetworkList, RawObject, Version};
use serde_json::Value;

use super::finding::{CONFIG, Draft, Finding, Severity};
use super::place::{Spots, line_and_column};
use super::slip;
use crate::resolve::delegating;

/// Reads a configuration with the limits and rules that hold for every one.
pub(crate) fn read(bytes: &[u8], limit: usize) -> Result<NetworkList, Box<Finding>> {
    if bytes.len() > limit {
        let sentence = format!("the configuration has {} bytes, and {limit} are allowed", bytes.len());
        return Err(Draft::error("", sentence).fix("remove what the plugins do not need").unplaced().into());
    }
    let list = NetworkList::parse(bytes).map_err(|e| Box::new(bad_config(bytes, e)))?;
    let found = list.plugins.iter().enumerate().find_map(|(n, plugin)| Some((n, delegating(plugin)?)));
    match found {
        None => Ok(list),
        Some((n, (kind, key))) => Err(ourselves(bytes, n, &kind, key).into()),
    }
}

/// Another name of ours for itself would loop just the same, but a file name on disk is all that could say so.
fn ourselves(bytes: &[u8], n: usize, kind: &str, key: &str) -> Finding {
    let spots = Spots::of(std::str::from_utf8(bytes).unwrap_or_default());
    let list = format!("/plugins/{n}{key}");
    let pointer = if spots.knows(&list) { list } else { key.to_owned() };
    let sentence = format!("the plugin type `{kind}` would call itself forever");
    let fix = "name the plugins that make the network, not the one that delegates to them";
    Draft::error(&pointer, sentence).fix(fix).place(&spots)
}

fn bad_config(bytes: &[u8], e: BadConfig) -> Finding {
    let Ok(text) = std::str::from_utf8(bytes) else { return of_parser(e, "save the file as UTF-8") };
    if let Err(slip) = slip::scan(text) {
        let (line, column) = line_and_column(text, slip.offset);
        return Finding {
            severity: Severity::Error,
            field: CONFIG.to_owned(),
            pointer: String::new(),
            line: Some(line),
            column: Some(column),
            sentence: slip.sentence,
            fix: slip.fix,
        };
    }
    // Well-formed, so it is the protocol's own keys.
    let fix = mend(text, &e.pointer);
    if e.pointer.is_empty() && fix.is_empty() {
        return of_parser(e, "nest it less deeply");
    }
    let key = e.pointer.rsplit('/').next().unwrap_or_default();
    let why = e.why.split("; supported are").next().unwrap_or_default();
    let why = why.trim_end_matches("; name one").replace("; ", ", and ");
    let sentence = match why.strip_prefix("it ") {
        Some(offers) if offers.starts_with("offers") => {
            format!("`{key}` {offers}, which is not one of {}", Version::ALL.map(Version::as_str).join(", "))
        }
        Some(why) if !key.is_empty() && !key.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("`{key}` {why}")
        }
        _ => why,
    };
    Draft::error(&e.pointer, sentence).fix(fix).place(&Spots::of(text))
}

/// What only the parser saw.
fn of_parser(e: BadConfig, fix: &str) -> Finding {
    let finding = Draft::error(&e.pointer, e.why).fix(fix).unplaced();
    Finding { line: e.position.map(|p| p.0), column: e.position.map(|p| p.1.max(1)), ..finding }
}

/// How to mend a key of the protocol.
fn mend(text: &str, pointer: &str) -> String {
    let value = value_at(text, pointer).unwrap_or_default();
    let value = &value;
    match pointer.rsplit('/').next().unwrap_or_default() {
        "cniVersion" | "cniVersions" => version(value),
        "plugins" => "write `\"plugins\": [{\"type\": …}, …]`, a list of plugin objects".to_owned(),
        "type" if value.is_string() => "give the bare name of a plugin, such as `macvlan`".to_owned(),
        "type" => "write the plugin's name in quotes, such as `\"type\": \"macvlan\"`".to_owned(),
        "name" if value.is_string() => {
            "use letters, digits, `.`, `_` and `-`, beginning with a letter or digit".to_owned()
        }
        "name" => "write the name in quotes".to_owned(),
        "capabilities" => capabilities(value),
        "loadOnlyInlinedPlugins" | "disableCheck" | "disableGC" => {
            "write `true` or `false` without quotes".to_owned()
        }
        // A plugin, or the whole.
        _ if value.is_object() => no_type(text, pointer),
        _ => "write an object `{\"type\": …}` in its place".to_owned(),
    }
}

fn version(value: &Value) -> String {
    let raw = match value {
        Value::String(raw) => raw.clone(),
        other => other.to_string(),
    };
    let raw = raw.trim().trim_start_matches(['v', 'V']);
    let meant = Version::ALL.into_iter().rev().find(|v| {
        v.as_str() == raw
            || v.as_str().strip_prefix(raw).is_some_and(|rest| !raw.is_empty() && rest.starts_with('.'))
    });
    format!("write `\"cniVersion\": \"{}\"`", meant.unwrap_or(Version::V1_0_0).as_str())
}

/// A list of names, a single name: what was meant is clear.
fn capabilities(value: &Value) -> String {
    let names: Vec<String> = match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(all) => all.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let names = if names.is_empty() { vec!["mac".to_owned()] } else { names };
    let shown: Vec<String> = names.iter().take(4).map(|n| format!("\"{}\": true", printable(n))).collect();
    format!("write `\"capabilities\": {{{}}}`, without quotes around `true`", shown.join(", "))
}

/// No `type`, and at the top no `plugins` either.
fn no_type(text: &str, pointer: &str) -> String {
    let wanted: &[&str] = if pointer.is_empty() { &["plugins", "type"] } else { &["type"] };
    let Some(object) = object_at(text, pointer) else { return String::new() };
    let slip = object.keys().find_map(|key| nearest(key, wanted.iter().copied()).map(|meant| (key, meant)));
    match slip.filter(|(key, meant)| key != meant) {
        Some((key, meant)) => format!("did you mean `{meant}` instead of `{}`?", printable(key)),
        None if object.is_empty() && pointer.is_empty() => {
            "write `{\"type\": …}` for one plugin, or `{\"plugins\": […]}` for several".to_owned()
        }
        None if pointer.is_empty() => {
            "add `\"type\": \"…\"` for one plugin, or `\"plugins\": […]` for several".to_owned()
        }
        None => "add `\"type\": \"…\"` with the plugin's name".to_owned(),
    }
}

fn object_at(text: &str, pointer: &str) -> Option<RawObject> {
    RawObject::parse(value_at(text, pointer)?.to_string().as_bytes()).ok()
}

/// What a pointer leads to, its keys in any case.
fn value_at(text: &str, pointer: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    for step in pointer.split('/').skip(1) {
        value = match &value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?.clone(),
            Value::Object(_) => RawObject::parse(value.to_string().as_bytes()).ok()?.get_as(step).ok()??,
            _ => return None,
        };
    }
    Some(value)
}
