//! What is wrong with a configuration, and what is merely odd: where it stands, and one sentence with the remedy.

use manifold_cni::name::printable;
use manifold_cni::{CniError, NetworkName, code};

/// A rule that does not hold. The plugin would refuse this configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}{}{pointer}", if .pointer.is_empty() { "" } else { ", at " })]
pub struct Problem {
    /// JSON pointer from the top of the plugin's configuration; empty where no single place is at fault.
    pub pointer: String,
    pub sentence: String,
}

/// Something that works but is probably not meant, such as a misspelt key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub pointer: String,
    pub sentence: String,
}

impl Problem {
    pub fn new(pointer: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), sentence: sentence.into() }
    }

    /// The same problem, seen from the object that holds `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }

    /// What the runtime hears: code 7, because only a person can mend a configuration.
    pub fn into_error(self, network: &NetworkName) -> CniError {
        let error = CniError::new(code::INVALID_CONFIG, format!("network `{network}`: {}", self.sentence));
        if self.pointer.is_empty() { error } else { error.details(format!("at `{}`", self.pointer)) }
    }
}

/// One step of a JSON pointer, escaped as RFC 6901 asks and safe to print.
pub(crate) fn step(key: &str) -> String {
    format!("/{}", printable(&key.replace('~', "~0").replace('/', "~1")))
}

/// What serde says, without the place: it counts inside the piece that was tried, not in the file.
pub(crate) fn why(e: &serde_json::Error) -> String {
    let whole = e.to_string();
    let why = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(why, _)| why);
    why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// A serde message in the words of someone who writes JSON, not Rust.
pub(crate) fn plain(key: &str, e: &serde_json::Error) -> String {
    let (key, why) = (printable(key), why(e));
    let Some((found, wanted)) = why.strip_prefix("invalid type: ").and_then(|w| w.split_once(", expected "))
    else {
        return format!("`{key}`: {}", why.trim());
    };
    let wanted = match wanted {
        "a boolean" => "`true` or `false`",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a string" | "a borrowed string" | "str" => "a string in quotes",
        "a sequence" => "a list `[…]`",
        "a map" | "a JSON object" => "an object `{…}`",
        other if other.starts_with("struct ") => "an object `{…}`",
        other => other,
    };
    let found = match found {
        "map" => "an object",
        "sequence" => "a list",
        other => other.trim_start_matches("integer ").trim_start_matches("a "),
    };
    format!("`{key}` has {found}, but takes {wanted}")
}
