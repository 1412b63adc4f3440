//! The files of this crate: seeds of each reader, and the corpus.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where the files lie. The folder is asked for at run time, so that a copied test executable finds its own.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(), PathBuf::from)
}

/// The files of a folder with their names, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn of_folder(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, fs::read(path)?));
    }
    files.sort();
    Ok(files)
}

/// What mutations begin with: the seeds of a reader, and what of the corpus is for it and not long.
///
/// # Errors
/// If it has no folder of seeds.
pub fn inputs(reader: &str) -> io::Result<Vec<Vec<u8>>> {
    const MOST_BYTES: usize = 4096;
    let seeds = of_folder(&root().join("seeds").join(reader))?.into_iter().map(|(_, bytes)| bytes);
    let cases = corpus()?.into_iter().filter(|case| case.reader == reader && case.bytes.len() <= MOST_BYTES);
    Ok(seeds.chain(cases.map(|case| case.bytes)).collect())
}

/// A file of the corpus.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its folder.
    pub class: String,
    /// Its name.
    pub name: String,
    /// Its ending.
    pub reader: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The file of each class that holds the answers.
pub const ANSWERS: &str = "ANSWERS";

/// All files of the corpus, in order.
///
/// # Errors
/// If a folder cannot be read.
pub fn corpus() -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(root().join("corpus"))? {
        let folder = entry?.path();
        let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (name, bytes) in of_folder(&folder)?.into_iter().filter(|(name, _)| name != ANSWERS) {
            let reader = name.rsplit('.').next().unwrap_or_default().to_owned();
            cases.push(Case { class: class.clone(), name, reader, bytes });
        }
    }
    cases.sort_by(|a, b| (&a.class, &a.name).cmp(&(&b.class, &b.name)));
    Ok(cases)
}
