//! Names that reach a path, an environment or the kernel: parsed once, then carried as types.

use std::fmt;
use std::str::FromStr;

/// Why a name was refused: what it is for, the value, the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` cannot be used: {why}", printable(.raw))]
pub struct BadName {
    pub what: &'static str,
    pub raw: String,
    pub why: &'static str,
}

/// A value as it may stand in a message or a log: control and direction-changing characters are
/// escaped, and anything long is cut, so that hostile text cannot forge lines or hide what it says.
pub fn printable(raw: &str) -> String {
    const MOST: usize = 120;
    let mut out = String::with_capacity(raw.len().min(MOST) + 8);
    for (n, c) in raw.chars().enumerate() {
        if n == MOST {
            out.push('…');
            break;
        }
        let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || hides || c == '`' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(raw: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(raw) {
                    Some(why) => Err(BadName { what: $what, raw: raw.to_owned(), why }),
                    None => Ok(Self(raw.into())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let raw = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                raw.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// An interface name the kernel accepts (CNI-ENV-4).
    IfName, "interface name", |raw| match raw {
        "" => Some("it is empty"),
        "." | ".." => Some("the kernel reserves it"),
        // The kernel's 16 bytes include the terminator, and it counts bytes: "é" costs two.
        _ if raw.len() > 15 => Some("it is longer than 15 bytes"),
        _ if raw.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) =>
            Some("it has `/`, `:`, a space or a control character"),
        _ => None,
    }
);

name_type!(
    /// A container (sandbox) id. It is also a file name of the ledger (CNI-ENV-2).
    ContainerId, "container id", identifier
);

name_type!(
    /// The `name` of a network configuration (CNI-CFG-5).
    NetworkName, "network name", identifier
);

name_type!(
    /// The `type` of a plugin: the file name of its executable, never a path (CNI-CFG-15).
    PluginType, "plugin type", |raw| match raw {
        "" => Some("it is empty"),
        "." | ".." => Some("it is a folder"),
        _ if raw.len() > 255 => Some("it is longer than 255 bytes"),
        _ if raw.contains('/') || raw.contains('\\') => Some("it has a path separator; a plugin is named, not located"),
        _ if raw.chars().any(|c| c.is_control() || c.is_whitespace()) => Some("it has a space or a control character"),
        _ => None,
    }
);

/// First an ASCII letter or digit, then letters, digits, `_`, `.` and `-`.
fn identifier(raw: &str) -> Option<&'static str> {
    let mut chars = raw.chars();
    match chars.next() {
        None => return Some("it is empty"),
        Some(c) if !c.is_ascii_alphanumeric() => return Some("it must begin with a letter or a digit"),
        Some(_) => {}
    }
    if raw.len() > 255 {
        return Some("it is longer than 255 bytes");
    }
    let bad = chars.any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')));
    bad.then_some("only letters, digits, `_`, `.` and `-` may follow the first character")
}
