//! What the plan needs and the pod does not say: the definitions, all asked for at once, and configurations on disk.

use std::path::{Path, PathBuf};

use manifold_cni::{CniError, code};
use manifold_crds::{Nad, NadRef};
use manifold_plan::{Definitions, Files, Wanted};

use super::asking::Asking;
use crate::config::{Config, DefaultNetwork};
use crate::shim::Shim;
use crate::source::confdir::{self, ConfFile, Place};

/// Brings everything that `wanted` names. Nothing is asked of the source when all of it lies on disk.
pub(crate) fn bring(shim: &Shim, wanted: &Wanted, asking: &mut Asking<'_>) -> Result<Definitions, CniError> {
    let mut found = on_disk(&shim.config, wanted)?;
    let missing: Vec<NadRef> =
        wanted.references().into_iter().filter(|r| !found.nads.contains_key(r)).collect();
    if !missing.is_empty()
        && let Some((source, deadline)) = asking.source()?
    {
        let answers = source.definitions(&missing, deadline)?;
        found.nads.extend(missing.into_iter().zip(answers).filter_map(|(r, nad)| Some((r, nad?))));
        found.unread = source.unread().to_vec();
    }
    if wanted.needs_conf_dir(&found) {
        found.conf_dir = files(confdir::folder(&shim.config.conf_dir)?, &shim.config.conf_dir)?;
    }
    Ok(found)
}

/// What needs no source: configurations given as paths, and the mirrored default network.
pub(crate) fn on_disk(config: &Config, wanted: &Wanted) -> Result<Definitions, CniError> {
    let mut found = Definitions::default();
    for path in wanted.paths() {
        found.paths.insert(path.to_owned(), at(config, path)?);
    }
    if let Some(nad) = mirrored(config, wanted)? {
        found.nads.insert(nad.reference.clone(), nad);
    }
    Ok(found)
}

/// The default network as the node agent wrote it to disk, if that is what is wanted.
fn mirrored(config: &Config, wanted: &Wanted) -> Result<Option<Nad>, CniError> {
    let DefaultNetwork::Cluster(name) = &config.default_network else { return Ok(None) };
    let Ok(reference) = NadRef::new(&config.multus_namespace, name) else { return Ok(None) };
    if !wanted.references().contains(&reference) {
        return Ok(None);
    }
    let Some(bytes) = confdir::mirror(&config.state_dir)? else { return Ok(None) };
    let nad: Nad = serde_json::from_slice(&bytes).map_err(|e| {
        let msg = format!(
            "the mirrored default network below `{}` cannot be read: {e}",
            config.state_dir.display()
        );
        CniError::new(code::TRY_AGAIN, msg).details("fix: none needed; the node agent writes it again")
    })?;
    Ok((nad.reference == reference).then_some(nad))
}

/// A file, or a folder of which the first configuration counts.
fn at(config: &Config, path: &Path) -> Result<Files, CniError> {
    match confdir::place(path)? {
        Place::Folder(found) => files(found, path),
        Place::File(file) => {
            let mut files = files(vec![file], path.parent().unwrap_or(Path::new("/")))?;
            if let Some(chain) = &config.auxiliary_chain {
                let beside = confdir::beside(path, chain.as_str())?;
                files
                    .beside
                    .insert(chain.to_string(), beside.into_iter().map(|f| (f.name, f.bytes)).collect());
            }
            Ok(files)
        }
    }
}

/// Files with the plugins that lie in folders beside them.
fn files(found: Vec<ConfFile>, folder: &Path) -> Result<Files, CniError> {
    let mut files = Files::new(found.into_iter().map(|f| (f.name, f.bytes)).collect());
    for network in files.with_folders() {
        let list: PathBuf = folder.join("list");
        let beside = confdir::beside(&list, &network)?;
        files.beside.insert(network, beside.into_iter().map(|f| (f.name, f.bytes)).collect());
    }
    Ok(files)
}
