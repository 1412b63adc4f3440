//! What the caller fetched for the plan: definitions, and configurations from the node's disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manifold_cni::Inlined;
use manifold_crds::{Nad, NadRef};

/// Everything that was asked for and was there. What is not in here does not exist.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// The definitions.
    pub nads: BTreeMap<NadRef, Nad>,
    /// The configurations of `confDir`; read only where [`crate::Wanted::needs_conf_dir`] says so.
    pub conf_dir: Files,
    /// What lies at each of [`crate::Wanted::paths`]: one file, or all configurations of a folder.
    pub paths: BTreeMap<PathBuf, Files>,
    /// What could not be read and may be a definition that is missing: one sentence for each.
    pub unread: Vec<String>,
}

/// Configuration files by file name, and the plugins that lie in folders beside them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Names and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// By network name: the `*.conf` of the folder `<folder of the list>/<network name>` (CNI-CFG-9).
    pub beside: BTreeMap<String, Vec<(String, Vec<u8>)>>,
}

impl Files {
    /// Files without folders beside them.
    pub fn new(files: Vec<(String, Vec<u8>)>) -> Self {
        Self { files, beside: BTreeMap::new() }
    }

    /// The networks among these files that may have a folder, so that the caller knows which to read.
    pub fn with_folders(&self) -> Vec<String> {
        let lists =
            self.files.iter().filter(|(name, _)| is_list(name)).filter_map(|(_, b)| Inlined::parse(b).ok());
        lists.filter(Inlined::wants_folder).filter_map(|l| Some(l.name()?.to_string())).collect()
    }

    pub(crate) fn folder_of(&self, network: &str) -> Vec<(String, Vec<u8>)> {
        self.beside.get(network).cloned().unwrap_or_default()
    }
}

fn is_list(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == "conflist")
}
