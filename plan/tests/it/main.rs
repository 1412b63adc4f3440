//! The check of definitions on a corpus of files: `tests/corpus/broken`, as people really write them, and
//! `tests/corpus/good`, one for each kind of network that is in use.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use manifold_crds::Nad;
use manifold_plan::check_config::{self, Report};
use manifold_plan::{DefaultNetwork, Policy};

mod broken;
mod good;

/// The files of a folder of the corpus with their text, by name.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    read(&folder)
}

fn read(folder: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Every definition of a file; one that is none is told.
fn definitions(text: &str) -> Vec<Result<Nad, String>> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents.map(|document| serde::Deserialize::deserialize(document).map_err(|e| format!("{e}"))).collect()
}

fn examine(nad: &Nad) -> Report {
    let policy = Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse().unwrap()));
    check_config::examine(nad, &policy)
}
