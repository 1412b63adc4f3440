//! A network configuration: its name, its version, its plugins in order.
//!
//! Bytes in, one shape out: a list, or a single plugin of the time before 1.0.0 that becomes a list of one. Plugin
//! objects stay raw; only what the protocol owns is read. Nothing here reads a file: callers bring the contents.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{BadJson, locate};
use crate::name::printable;
use crate::{CniError, NetworkName, PluginType, RawObject, Version, code};

#[cfg(test)]
mod tests;

/// One plugin object of a list.
#[derive(Clone, Debug)]
pub struct PluginConf {
    /// Its `type`.
    pub kind: PluginType,
    /// The runtime values it declares; only those that are `true` are delivered.
    pub capabilities: BTreeMap<String, bool>,
    /// All of it, exactly as written.
    pub raw: RawObject,
}

/// A network configuration with at least one plugin.
#[derive(Clone, Debug)]
pub struct NetworkList {
    /// Missing only until [`NetworkList::with_name_if_missing`]: a definition in the API server may leave it out.
    pub name: Option<NetworkName>,
    /// The highest offered version that we speak; `None` when the text offers none.
    pub version: Option<Version>,
    /// Whether the text says a version; `false` also after [`NetworkList::inherit_version`].
    pub states_version: bool,
    /// `disableCheck`: CHECK does nothing.
    pub disable_check: bool,
    /// `disableGC`: GC does nothing.
    pub disable_gc: bool,
    /// In the order of ADD; at least one.
    pub plugins: Vec<PluginConf>,
}

/// A configuration before plugins from its folder have been added.
#[derive(Clone, Debug)]
pub struct Inlined {
    list: NetworkList,
    only_inlined: bool,
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}{}", place(.file.as_deref(), .pointer), at(*.position))]
pub struct BadConfig {
    /// Of the error that a runtime gets for it.
    pub code: u32,
    /// The file, when it is not the configuration itself.
    pub file: Option<String>,
    /// JSON pointer; empty for the whole text.
    pub pointer: String,
    /// What is wrong.
    pub why: String,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
}

impl From<BadConfig> for CniError {
    fn from(e: BadConfig) -> Self {
        Self::new(e.code, format!("the network configuration: {e}"))
    }
}

impl NetworkList {
    /// Parses bytes that have no file and so no folder (CNI-CFG-14).
    ///
    /// # Errors
    /// If it is no configuration; the error names the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadConfig> {
        Inlined::parse(bytes)?.with_folder(Vec::new())
    }

    /// The name, where there is no way on without one (CNI-CFG-5).
    ///
    /// # Errors
    /// If there is no name.
    pub fn require_name(&self) -> Result<&NetworkName, CniError> {
        self.name.as_ref().ok_or_else(|| CniError::config("the network configuration has no `name`; add one"))
    }

    /// Absent means 0.1.0 (CNI-CFG-2).
    pub fn version(&self) -> Version {
        self.version.unwrap_or(Version::V0_1_0)
    }

    /// NPWG-3.4.2: a definition without a name is named after its object; a name that is there stays.
    #[must_use]
    pub fn with_name_if_missing(mut self, name: &NetworkName) -> Self {
        self.name.get_or_insert_with(|| name.clone());
        self
    }

    /// A configuration that says no version speaks at most that of the one it is delegated from (MLT-EXE-13).
    #[must_use]
    pub fn inherit_version(mut self, version: Version) -> Self {
        self.version.get_or_insert(version);
        self
    }

    /// The list as text again. [`NetworkList::parse`] of it gives this list.
    pub fn to_json(&self) -> Vec<u8> {
        let mut keys = RawObject::default();
        if let Some(version) = self.version {
            keys.set("cniVersion", &version.as_str());
        }
        if let Some(name) = &self.name {
            keys.set("name", name);
        }
        for (key, on) in [("disableCheck", self.disable_check), ("disableGC", self.disable_gc)] {
            if on {
                keys.set(key, &true);
            }
        }
        let plugins: Vec<&RawObject> = self.plugins.iter().map(|p| &p.raw).collect();
        keys.set("plugins", &plugins);
        keys.to_vec()
    }
}

impl Inlined {
    /// Parses the text of a list or of a single plugin.
    ///
    /// # Errors
    /// If it is no configuration; the error names the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadConfig> {
        read(bytes).map_err(|mut e| {
            e.position = e.position.or_else(|| locate(bytes, &e.pointer));
            e
        })
    }

    /// The list's name, if it has one.
    pub fn name(&self) -> Option<&NetworkName> {
        self.list.name.as_ref()
    }

    /// Whether plugins may stand in `<folder of the list's file>/<network name>/`.
    pub fn wants_folder(&self) -> bool {
        !self.only_inlined
    }

    /// Adds the plugins of the folder, in the order of their file names (CNI-CFG-9). Files that do not end in `.conf`
    /// are none of ours; a folder that does not exist is one without files; one bad file fails the whole list.
    ///
    /// # Errors
    /// If a file of the folder is no plugin, or no plugin is left.
    pub fn with_folder(self, mut files: Vec<(String, Vec<u8>)>) -> Result<NetworkList, BadConfig> {
        let mut list = self.list;
        if !self.only_inlined {
            files.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".conf")) {
                list.plugins
                    .push(plugin_file(bytes).map_err(|e| BadConfig { file: Some(name.clone()), ..e })?);
            }
        }
        if list.plugins.is_empty() {
            return Err(bad("", "it has no plugin: neither `plugins` nor `type`"));
        }
        Ok(list)
    }
}

fn plugin_file(bytes: &[u8]) -> Result<PluginConf, BadConfig> {
    let raw = RawObject::parse(bytes).map_err(syntax)?;
    PluginConf::read(raw, "").map_err(|mut e| {
        e.position = locate(bytes, &e.pointer);
        e
    })
}

fn read(bytes: &[u8]) -> Result<Inlined, BadConfig> {
    let keys = RawObject::parse(bytes).map_err(syntax)?;
    let only_inlined = flag(&keys, "loadOnlyInlinedPlugins")?;
    let version = version(&keys)?;
    let mut list = NetworkList {
        name: name(&keys)?,
        version,
        states_version: version.is_some(),
        disable_check: flag(&keys, "disableCheck")?,
        disable_gc: flag(&keys, "disableGC")?,
        plugins: Vec::new(),
    };
    if keys.contains("plugins") {
        list.plugins = inlined_plugins(&keys)?;
    } else if only_inlined {
        return Err(bad("/loadOnlyInlinedPlugins", "it is true, but there is no `plugins` to load"));
    } else if keys.contains("type") {
        list.plugins.push(PluginConf::read(keys, "")?);
        return Ok(Inlined { list, only_inlined: true });
    }
    Ok(Inlined { list, only_inlined })
}

fn inlined_plugins(keys: &RawObject) -> Result<Vec<PluginConf>, BadConfig> {
    let raw: Vec<Box<RawValue>> = typed(keys, "", "plugins", "a list of plugin objects")?.unwrap_or_default();
    if raw.is_empty() {
        return Err(bad("/plugins", "it is empty; a network needs at least one plugin"));
    }
    let plugin = |(n, raw): (usize, Box<RawValue>)| {
        let pointer = format!("/plugins/{n}");
        let raw = serde_json::from_str(raw.get()).map_err(|_| bad(&pointer, "it is not a plugin object"))?;
        PluginConf::read(raw, &pointer)
    };
    raw.into_iter().enumerate().map(plugin).collect()
}

impl PluginConf {
    /// Reads a plugin object. `pointer` is where it stands, for messages.
    ///
    /// # Errors
    /// If it is no plugin object; the error names the place.
    pub fn read(raw: RawObject, pointer: &str) -> Result<Self, BadConfig> {
        let kind: Option<String> = typed(&raw, pointer, "type", "a string")?;
        let kind = kind
            .filter(|k| !k.is_empty())
            .ok_or_else(|| bad(pointer, "the plugin has no `type`; name one"))?;
        let kind = kind.parse().map_err(|e| bad(&format!("{pointer}/type"), e))?;
        let capabilities =
            typed(&raw, pointer, "capabilities", "an object of true and false")?.unwrap_or_default();
        Ok(Self { kind, capabilities, raw })
    }
}

fn name(keys: &RawObject) -> Result<Option<NetworkName>, BadConfig> {
    match typed::<String>(keys, "", "name", "a string")?.filter(|n| !n.is_empty()) {
        None => Ok(None),
        Some(raw) => raw.parse().map(Some).map_err(|e| bad("/name", e)),
    }
}

/// The best of `cniVersion` and `cniVersions`. Where neither says anything there is none; where they say only what we
/// do not speak that is an error, as guessing 0.1.0 would hide it.
fn version(keys: &RawObject) -> Result<Option<Version>, BadConfig> {
    let one: Option<String> = typed(keys, "", "cniVersion", "a string such as \"1.1.0\"")?;
    let many: Option<Vec<String>> = typed(keys, "", "cniVersions", "a list of version strings")?;
    let offered: Vec<&str> =
        one.iter().chain(many.iter().flatten()).map(String::as_str).filter(|v| !v.is_empty()).collect();
    if offered.is_empty() {
        return Ok(None);
    }
    let pointer = if many.is_some() { "/cniVersions" } else { "/cniVersion" };
    // A lone bad `cniVersion` is an unknown version, whatever it looks like: code 1, as every plugin answers.
    let best = match (Version::highest(offered.iter().copied()), &many) {
        (Ok(best), _) => best,
        (Err(e), Some(_)) => return Err(BadConfig { code: code::DECODE, ..bad(pointer, e) }),
        (Err(_), None) => None,
    };
    best.map(Some).ok_or_else(|| {
        let offered = crate::name::first_few(offered.iter().copied());
        let known = Version::ALL.map(Version::as_str).join(", ");
        let why = format!("it offers {offered}; supported are {known}");
        BadConfig { code: code::INCOMPATIBLE_VERSION, ..bad(pointer, why) }
    })
}

/// A boolean that 0.4.0 defined as a string (CNI-CFG-7).
fn flag(keys: &RawObject, key: &str) -> Result<bool, BadConfig> {
    let Some(raw) = keys.get(key) else { return Ok(false) };
    match serde_json::from_str(raw.get()) {
        Ok(Value::Bool(on)) => Ok(on),
        Ok(Value::String(s)) if s.eq_ignore_ascii_case("true") => Ok(true),
        Ok(Value::String(s)) if s.eq_ignore_ascii_case("false") => Ok(false),
        _ => {
            let why = format!("it is `{}`, where `true` or `false` belongs", printable(raw.get()));
            Err(bad(&format!("/{key}"), why))
        }
    }
}

fn typed<T: DeserializeOwned>(
    keys: &RawObject,
    at: &str,
    key: &str,
    what: &str,
) -> Result<Option<T>, BadConfig> {
    keys.get_as(key).map_err(|_| BadConfig {
        code: code::DECODE,
        ..bad(&format!("{at}/{key}"), format!("it is not {what}"))
    })
}

fn bad(pointer: &str, why: impl ToString) -> BadConfig {
    let why = why.to_string();
    BadConfig { code: code::INVALID_CONFIG, file: None, pointer: pointer.to_owned(), why, position: None }
}

fn syntax(e: BadJson) -> BadConfig {
    BadConfig { code: code::DECODE, position: Some((e.line, e.column)), ..bad("", e.why) }
}

fn place(file: Option<&str>, pointer: &str) -> String {
    let file = file.map(|f| format!("file `{}`: ", printable(f))).unwrap_or_default();
    if pointer.is_empty() { file } else { format!("{file}`{}`: ", printable(pointer)) }
}

fn at(position: Option<(usize, usize)>) -> String {
    position.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default()
}
