//! Names that reach a path, an environment or the kernel: parsed once, then carried as types.

/// Why a name was refused: what it is for, the value, the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` cannot be used: {why}", printable(.raw))]
pub struct BadName {
    /// What the name is for.
    pub what: &'static str,
    /// The value.
    pub raw: String,
    /// The reason.
    pub why: &'static str,
}

/// A value as it may stand in a message or a log: control and direction-changing characters are
/// escaped, and anything long is cut, so that hostile text cannot forge lines or hide what it says.
pub fn printable(raw: &str) -> String {
    escaped(raw, 120, |c| c == '`')
}

/// The same for a whole sentence of another library, whose own backticks stay.
pub fn one_line(sentence: &str) -> String {
    escaped(sentence, 600, |_| false)
}

fn escaped(raw: &str, most: usize, also: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(raw.len().min(most) + 8);
    for (n, c) in raw.chars().enumerate() {
        if n == most {
            out.push('…');
            break;
        }
        if c.is_control() || hides(c) || also(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Values in backticks, joined by commas: the first five, and how many more there are.
pub(crate) fn first_few<'a>(mut values: impl Iterator<Item = &'a str>) -> String {
    let shown: Vec<String> = values.by_ref().take(5).map(|value| format!("`{}`", printable(value))).collect();
    match values.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Characters that nobody sees, that end a line for some readers, or that turn the direction of what follows.
fn hides(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Makes a type of a name that is checked once, where it is parsed: `FromStr`, `Display`, serde.
///
/// `name_type!(/** doc */ Type, "what it is, for messages", |raw| Some(reason) or None);`
#[macro_export]
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::BadName;

            fn from_str(raw: &str) -> Result<Self, $crate::name::BadName> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(raw) {
                    Some(why) => Err($crate::name::BadName { what: $what, raw: raw.to_owned(), why }),
                    None => Ok(Self(raw.into())),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let raw = <std::borrow::Cow<'de, str> as $crate::serde::Deserialize>::deserialize(d)?;
                raw.parse().map_err($crate::serde::de::Error::custom)
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
        _ if raw.contains('%') => Some("it has `%`, which the kernel expands into another name"),
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

impl ContainerId {
    /// Whether it is wrong by its length alone. No file can have such a name, so nobody can have kept anything under it.
    pub fn is_only_too_long(raw: &str) -> bool {
        raw.len() > MOST_IDENTIFIER_BYTES && bad_letter(raw).is_none()
    }
}

/// As long as the name of a file may be.
const MOST_IDENTIFIER_BYTES: usize = 255;

/// First an ASCII letter or digit, then letters, digits, `_`, `.` and `-`.
fn identifier(raw: &str) -> Option<&'static str> {
    let too_long = raw.len() > MOST_IDENTIFIER_BYTES;
    bad_letter(raw).or_else(|| too_long.then_some("it is longer than 255 bytes"))
}

fn bad_letter(raw: &str) -> Option<&'static str> {
    let mut chars = raw.chars();
    match chars.next() {
        None => return Some("it is empty"),
        Some(c) if !c.is_ascii_alphanumeric() => return Some("it must begin with a letter or a digit"),
        Some(_) => {}
    }
    let bad = chars.any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')));
    bad.then_some("only letters, digits, `_`, `.` and `-` may follow the first character")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Proves: CNI-ENV-4, F-INP-3
    #[test]
    fn an_interface_name_is_what_the_kernel_accepts() {
        for good in ["eth0", "a", "net1.100", "123456789012345", "é", "-", "..."] {
            assert!(good.parse::<IfName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "1234567890123456",
            "ééééééé\u{e9}",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\u{a0}b",
            "a\0",
            "a\n",
            "net%d",
        ] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
    }

    // Proves: CNI-ENV-2, CNI-CFG-5, F-INP-2, S-18
    #[test]
    fn container_ids_and_network_names_cannot_leave_a_folder() {
        for good in ["a", "0", "cni-1.2_3", "abc123", "a..b"] {
            assert!(good.parse::<ContainerId>().is_ok() && good.parse::<NetworkName>().is_ok(), "{good:?}");
        }
        let long = "a".repeat(300);
        for bad in [
            "",
            "../x",
            "-a",
            ".",
            "..",
            "_a",
            "a b",
            "a/b",
            "a\0",
            "%2f",
            "a%2fb",
            "а",
            "a\u{202e}b",
            "a\r\n",
            &long,
        ] {
            assert!(bad.parse::<ContainerId>().is_err() && bad.parse::<NetworkName>().is_err(), "{bad:?}");
            assert_eq!(ContainerId::is_only_too_long(bad), bad == long, "{bad:?}");
        }
        assert!(
            !ContainerId::is_only_too_long(&"a".repeat(255))
                && !ContainerId::is_only_too_long(&"a/".repeat(200))
        );
    }

    // Proves: CNI-CFG-15, CNI-EXE-4, S-1, S-9
    #[test]
    fn a_plugin_type_is_a_file_name_and_never_a_path() {
        for good in ["bridge", "host-local", "sbr.v2", "$(x)", "a;b", "…"] {
            assert!(good.parse::<PluginType>().is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "../x", "/bin/sh", "a/b", "a\\b", "a b", "a\n", "a\0b"] {
            assert!(bad.parse::<PluginType>().is_err(), "{bad:?}");
        }
    }

    // Proves: F-INP-2
    #[test]
    fn a_message_shows_hostile_text_escaped_and_cut() {
        assert_eq!(printable("a\r\nb"), "a\\u{d}\\u{a}b");
        assert_eq!(printable("a\u{202e}`b"), "a\\u{202e}\\u{60}b");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 121);
        // Ends of lines for some readers, and letters that nobody sees. Found by the hostile corpus.
        assert_eq!(printable("a\u{2028}b\u{ad}\u{e0041}"), "a\\u{2028}b\\u{ad}\\u{e0041}");
        let error = "a\nb".parse::<NetworkName>().expect_err("has a line break").to_string();
        assert!(!error.contains('\n'), "{error}");
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn no_text_makes_a_name_panic_and_what_is_accepted_prints_as_it_was(raw in any::<String>()) {
            for accepted in [
                raw.parse::<IfName>().map(|n| n.to_string()),
                raw.parse::<ContainerId>().map(|n| n.to_string()),
                raw.parse::<NetworkName>().map(|n| n.to_string()),
                raw.parse::<PluginType>().map(|n| n.to_string()),
            ].into_iter().flatten() {
                prop_assert_eq!(&accepted, &raw);
            }
            prop_assert!(!printable(&raw).contains(|c: char| c.is_control()));
        }
    }
}
