//! From a definition or a file to the plugins: which text counts, what it is called, what is wrong with it.
//!
//! The order is the standard's (NPWG-3.4.1): the definition's own `config`, then a list on disk that carries the name,
//! then a single configuration on disk.

use std::path::Path;

use manifold_cni::name::printable;
use manifold_cni::select::{in_order, select_by_name};
use manifold_cni::{BadConfig, CniError, Inlined, NetworkList, NetworkName, PluginConf, RawObject, Version};
use manifold_crds::nad_status::CONFIGURATION;
use manifold_crds::{Nad, NadRef};

use crate::{Definitions, Files, Policy, Refusal, Source, Want, check_config};

/// Our own `type`. A chain that has it would call us for ever (P-UP-4).
pub const OWN_TYPE: &str = "manifold";

/// Types that delegate to others: each would be run as root with a configuration of the definition's author, as a plugin of a
/// list and as `ipam.type` alike.
pub(crate) const DELEGATING_TYPES: [&str; 3] = [OWN_TYPE, "multus", "multus-shim"];

/// The delegating type that a plugin names, and below which key of it.
pub(crate) fn delegating(plugin: &PluginConf) -> Option<(String, &'static str)> {
    let is_one = |kind: &str| DELEGATING_TYPES.contains(&kind);
    if is_one(plugin.kind.as_str()) {
        return Some((plugin.kind.to_string(), "/type"));
    }
    let ipam = plugin.raw.get_as::<RawObject>("ipam").ok().flatten()?;
    let kind = ipam.get_as::<String>("type").ok().flatten()?;
    is_one(&kind).then_some((kind, "/ipam/type"))
}

/// The configuration of one attachment. `list.name` and `list.version` are always set.
#[derive(Clone, Debug)]
pub struct Resolved<'a> {
    /// The definition, where there is one.
    pub nad: Option<&'a Nad>,
    /// The network's name.
    pub name: NetworkName,
    /// Its plugins.
    pub list: NetworkList,
    /// Files that were passed over, for the log.
    pub notes: Vec<String>,
}

/// The configuration that `want` leads to. `version` is inherited by a configuration that says none (MLT-EXE-13).
///
/// # Errors
/// If there is no configuration, or one that cannot be used.
pub fn resolve<'a>(
    want: &Want,
    found: &'a Definitions,
    policy: &Policy,
    version: Version,
) -> Result<Resolved<'a>, Refusal> {
    let limit = policy.limits.config_bytes;
    let (nad, raw) = match &want.source {
        Source::Nad(reference) => {
            let nad = found.nads.get(reference).ok_or_else(|| missing(reference, &found.unread))?;
            (Some(nad), of_nad(nad, &found.conf_dir, limit)?)
        }
        Source::Named { nad, name } => match nad.as_ref().and_then(|r| found.nads.get(r)) {
            Some(nad) => (Some(nad), of_nad(nad, &found.conf_dir, limit)?),
            None => (
                None,
                by_name(name.as_str(), &found.conf_dir, limit).map_err(|e| nowhere(nad.as_ref(), name, e))?,
            ),
        },
        Source::Path(path) => {
            let files = found.paths.get(path).ok_or_else(|| no_file(path))?;
            (None, first(files, path, limit)?)
        }
        Source::Inline(_, raw) => (None, Raw::plain(parse(&raw.to_vec(), limit)?)),
    };
    finish(want, nad, raw, version)
}

/// A configuration as text had it.
struct Raw {
    list: NetworkList,
    notes: Vec<String>,
}

impl Raw {
    fn plain(list: NetworkList) -> Self {
        Self { list, notes: Vec::new() }
    }
}

/// Reads a configuration, with the limits and rules that hold for every one.
///
/// # Errors
/// If it is no configuration; the refusal names the place.
pub fn parse(bytes: &[u8], limit: usize) -> Result<NetworkList, Refusal> {
    check_config::read(bytes, limit).map_err(|finding| finding.refusal())
}

fn fits(bytes: &[u8], limit: usize) -> Result<(), Refusal> {
    if bytes.len() <= limit {
        return Ok(());
    }
    Err(Refusal::new(
        format!("the configuration has {} bytes, and {limit} are allowed", bytes.len()),
        "remove what the plugins do not need",
    ))
}

fn bad_config(e: &BadConfig) -> Refusal {
    Refusal::new(format!("the configuration is not valid: {e}"), "correct the network's configuration")
}

/// Another name of ours for itself would loop just the same, but a file name on disk is all that could say so.
fn not_ourselves(list: &NetworkList) -> Result<(), Refusal> {
    match list.plugins.iter().find_map(delegating) {
        None => Ok(()),
        Some((kind, _)) => Err(Refusal::new(
            format!("the configuration has the plugin type `{kind}`, which would call itself forever"),
            "name the plugins that make the network, not the one that delegates to them",
        )),
    }
}

fn of_nad(nad: &Nad, conf_dir: &Files, limit: usize) -> Result<Raw, Refusal> {
    if nad.is_terminating() {
        return Err(Refusal::new(
            "the definition is being deleted, so no new pod can use it",
            "name another network, or wait until it is gone and create it again",
        ));
    }
    match &nad.config {
        Some(config) => parse(config.as_bytes(), limit).map(Raw::plain),
        None => on_the_node(nad, conf_dir, limit),
    }
}

/// A definition without a configuration stands for that of the nodes which its annotation names, else for the one of its
/// own name.
fn on_the_node(nad: &Nad, conf_dir: &Files, limit: usize) -> Result<Raw, Refusal> {
    let named = nad.annotations.get(CONFIGURATION).filter(|n| !n.is_empty());
    let told = |refusal: Refusal| {
        let instead = named
            .map(|n| format!(" but the annotation `{CONFIGURATION}`, which names `{}`", printable(n)))
            .unwrap_or_default();
        Refusal {
            what: format!("the definition has no `config`{instead}, and on the node {}", refusal.what),
            ..refusal
        }
    };
    let Some(named) = named else {
        return by_name(nad.reference.name.as_str(), conf_dir, limit).map_err(told);
    };
    let name: NetworkName = named.parse().map_err(|e| {
        Refusal::new(
            format!("annotation `{CONFIGURATION}` of the definition: {e}"),
            "give the `name` of a configuration on the nodes",
        )
    })?;
    by_name(name.as_str(), conf_dir, limit).map_err(told)
}

fn by_name(name: &str, files: &Files, limit: usize) -> Result<Raw, Refusal> {
    let selected = select_by_name(&files.files, name).map_err(|e| {
        Refusal::new(e.to_string(), format!("install a configuration with the name `{name}` in `confDir`, or define the network in the cluster"))
    })?;
    let bytes = files.files.iter().find(|(file, _)| *file == selected.file).map_or(&[][..], |(_, b)| b);
    let list = with_folder(bytes, selected.list, files, limit)?;
    Ok(Raw { list, notes: selected.notes.iter().map(ToString::to_string).collect() })
}

/// The first configuration of a path: of a folder by file name, as the runtime itself would choose; a file that is
/// named itself counts whatever its ending is.
fn first(files: &Files, path: &Path, limit: usize) -> Result<Raw, Refusal> {
    let itself = |(name, _): &&(String, Vec<u8>)| path.file_name().is_some_and(|n| n == name.as_str());
    let named = files.files.iter().find(itself).map(|(_, bytes)| bytes.as_slice());
    let by_name = || in_order(&files.files).into_iter().min_by_key(|(name, _)| *name).map(|(_, bytes)| bytes);
    let bytes = named.or_else(by_name).ok_or_else(|| no_file(path))?;
    let list = Inlined::parse(bytes).map_err(|e| bad_config(&e))?;
    with_folder(bytes, list, files, limit).map(Raw::plain)
}

fn with_folder(bytes: &[u8], list: Inlined, files: &Files, limit: usize) -> Result<NetworkList, Refusal> {
    fits(bytes, limit)?;
    let folder = list.name().map(|n| files.folder_of(n.as_str())).unwrap_or_default();
    let list = list.with_folder(folder).map_err(|e| bad_config(&e))?;
    not_ourselves(&list)?;
    Ok(list)
}

/// The name of the definition where the text has none (NPWG-3.4.2), the version of the runtime's configuration likewise.
fn finish<'a>(
    want: &Want,
    nad: Option<&'a Nad>,
    raw: Raw,
    version: Version,
) -> Result<Resolved<'a>, Refusal> {
    let given: Option<NetworkName> = match (nad, &want.source) {
        (Some(nad), _) => nad.reference.name.as_str().parse().ok(),
        (None, Source::Named { name, .. }) => Some(name.clone()),
        _ => None,
    };
    let list = match given {
        Some(name) => raw.list.with_name_if_missing(&name),
        None => raw.list,
    };
    let list = list.inherit_version(version);
    let name = list.name.clone().ok_or_else(|| {
        let CniError { msg, .. } =
            list.require_name().err().unwrap_or_else(|| CniError::config("it has no `name`"));
        Refusal::new(msg, "add a `name` to the configuration")
    })?;
    Ok(Resolved { nad, name, list, notes: raw.notes })
}

/// `unread` is what the definition may be.
pub(crate) fn missing(reference: &NadRef, unread: &[String]) -> Refusal {
    let what = "there is no such NetworkAttachmentDefinition";
    let what = match unread.first() {
        None => what.to_owned(),
        Some(first) => format!("{what} among the objects that can be read ({first})"),
    };
    Refusal::new(
        what,
        format!(
            "create `{}` in namespace `{}`, or correct the name in the pod's annotation; a name without a namespace is looked up in the pod's own",
            reference.name, reference.namespace
        ),
    )
}

fn nowhere(nad: Option<&NadRef>, name: &NetworkName, on_disk: Refusal) -> Refusal {
    let definition = nad.map_or_else(
        || format!("`{name}` is not a valid name of a definition"),
        |r| format!("there is no NetworkAttachmentDefinition `{r}`"),
    );
    Refusal { what: format!("{definition}, and on the node {}", on_disk.what), ..on_disk }
}

fn no_file(path: &Path) -> Refusal {
    Refusal::new(
        format!("there is no network configuration at `{}`", path.display()),
        "correct the path in the node's configuration, or install the network that should be there",
    )
}
