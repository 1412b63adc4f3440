//! Which configuration on disk has a given name: lists first, then single plugins, each in the order of file names.
//!
//! A file is matched by the `name` inside it. One that cannot be read as a configuration is somebody else's mistake:
//! it is passed over and told about, so that it cannot take every other network down with it.

use crate::NetworkName;
use crate::config::{BadConfig, Inlined};
use crate::name::printable;

#[cfg(test)]
mod tests;

/// The configuration that was looked for.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The file it stands in.
    pub file: String,
    /// Still without the plugins of its folder.
    pub list: Inlined,
    /// Files that were passed over, for the log.
    pub notes: Vec<Note>,
}

/// A file that is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("file `{}` was skipped: {why}", printable(.file))]
pub struct Note {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub why: BadConfig,
}

/// "Nothing there" and "none of that name" are mended in different ways (CNI-CFG-22).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSelected {
    /// There is none at all.
    #[error("there is no network configuration in the folder; install one that is named `{}`", printable(.name))]
    NoConfigurations {
        /// The name.
        name: String,
    },
    /// There are some, under other names.
    #[error("no network configuration in the folder is named `{}`; there are {}{}", printable(.name), listed(.found), noted(.notes))]
    NoneOfThatName {
        /// The name.
        name: String,
        /// The names that there are.
        found: Vec<String>,
        /// Files that were passed over.
        notes: Vec<Note>,
    },
}

/// Picks the configuration named `name` among `files`, given as file name and contents.
///
/// # Errors
/// If no file has that name.
pub fn select_by_name(files: &[(String, Vec<u8>)], name: &str) -> Result<Selected, NotSelected> {
    let (mut notes, mut found) = (Vec::new(), Vec::new());
    let ordered = in_order(files);
    if ordered.is_empty() {
        return Err(NotSelected::NoConfigurations { name: name.to_owned() });
    }
    for (file, bytes) in ordered {
        match Inlined::parse(bytes) {
            Ok(list) if list.name().is_some_and(|n| n.as_str() == name) => {
                return Ok(Selected { file: file.to_owned(), list, notes });
            }
            Ok(list) => found.extend(list.name().map(NetworkName::to_string)),
            Err(why) => notes.push(Note { file: file.to_owned(), why }),
        }
    }
    Err(NotSelected::NoneOfThatName { name: name.to_owned(), found, notes })
}

/// The files that hold configurations: `.conflist` first, then `.conf` and `.json`.
pub fn in_order(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    let of = |single: bool| {
        let mut some: Vec<(&str, &[u8])> = (files.iter())
            .filter(|(name, _)| rank(name) == Some(single))
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        some.sort_by_key(|(name, _)| *name);
        some
    };
    [of(false), of(true)].concat()
}

/// `Some(false)` for a list, `Some(true)` for a single plugin.
fn rank(file: &str) -> Option<bool> {
    match file.rsplit_once('.')?.1 {
        "conflist" => Some(false),
        "conf" | "json" => Some(true),
        _ => None,
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() {
        return "none with a name".to_owned();
    }
    found.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn noted(notes: &[Note]) -> String {
    notes.iter().map(|note| format!("; {note}")).collect()
}
