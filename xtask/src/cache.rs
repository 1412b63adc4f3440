//! `cargo xtask cache`: what is expensive to build and shared by every clone, and how to be rid of it.
//!
//! Each entry is a folder `NAME/HASH` whose hash is that of everything that decides its bytes, so an entry is either
//! right or never looked at again. Builders lock their entry, so two runs at once are safe.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use manifold_e2e::project;

use crate::progress;
use crate::table::Table;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Lists the entries with their size and age; the same as no verb
    List,
    /// Removes all entries, or those of one name; the next run that needs one builds it again
    Clean {
        /// As listed, such as `cluster` or `guest`
        name: Option<String>,
    },
}

/// One thing that was built.
struct Entry {
    name: String,
    hash: String,
    path: PathBuf,
    bytes: u64,
    age: Duration,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = project::cache();
    match &options.verb {
        None | Some(Verb::List) => list(&folder),
        Some(Verb::Clean { name }) => clean(&folder, name.as_deref()),
    }
}

fn list(folder: &Path) -> anyhow::Result<()> {
    progress::line(&folder.display().to_string());
    let mut table = Table::new(&["name", "hash", "MB", "days old"]);
    for entry in entries(folder)? {
        let days = entry.age.as_secs() / 86_400;
        let cells = [entry.name, entry.hash, megabytes(entry.bytes), days.to_string()];
        table.row(cells.map(|cell| vec![cell]).into());
    }
    table.print();
    Ok(())
}

fn clean(folder: &Path, name: Option<&str>) -> anyhow::Result<()> {
    let mut chosen = entries(folder)?;
    chosen.retain(|entry| name.is_none_or(|name| entry.name == name));
    if let Some(name) = name.filter(|_| chosen.is_empty()) {
        bail!("the cache has no entry `{name}`; `cargo xtask cache` lists what it has");
    }
    for entry in chosen {
        fs::remove_dir_all(&entry.path)
            .with_context(|| format!("cannot remove `{}`", entry.path.display()))?;
        progress::line(&format!("removed {} {} ({} MB)", entry.name, entry.hash, megabytes(entry.bytes)));
    }
    Ok(())
}

/// By name; a cache that does not exist yet has none.
fn entries(folder: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for kind in folders(folder)? {
        for path in folders(&kind)? {
            let made = fs::metadata(&path)?.modified()?;
            let age = SystemTime::now().duration_since(made).unwrap_or_default();
            let (name, hash) = (name_of(&kind), name_of(&path));
            found.push(Entry { name, hash, bytes: size_of(&path), age, path });
        }
    }
    found.sort_by(|a, b| (&a.name, &a.hash).cmp(&(&b.name, &b.hash)));
    Ok(found)
}

fn folders(parent: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read `{}`", parent.display()))?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir() && !path.is_symlink()).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Of all files below; what goes away meanwhile counts nothing.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size_of(&entry.path())).sum()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with two tools, one of them in two versions.
    fn cache() -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        for entry in ["helm/aa", "helm/bb", "guest/cc"] {
            let folder = cache.path().join(entry);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("file"), [0; 1000]).unwrap();
        }
        fs::write(cache.path().join("guest/lock"), "").unwrap();
        cache
    }

    fn names(folder: &Path) -> Vec<String> {
        entries(folder).unwrap().iter().map(|entry| format!("{}/{}", entry.name, entry.hash)).collect()
    }

    #[test]
    fn every_entry_is_listed_with_its_size() {
        let cache = cache();
        assert_eq!(names(cache.path()), ["guest/cc", "helm/aa", "helm/bb"]);
        assert!(entries(cache.path()).unwrap().iter().all(|entry| entry.bytes == 1000));
        assert!(names(&cache.path().join("absent")).is_empty());
    }

    #[test]
    fn one_name_is_removed_or_all() {
        let cache = cache();
        clean(cache.path(), Some("helm")).unwrap();
        assert_eq!(names(cache.path()), ["guest/cc"]);
        let error = clean(cache.path(), Some("helm")).unwrap_err().to_string();
        assert!(error.contains("no entry `helm`"), "{error}");
        clean(cache.path(), None).unwrap();
        assert!(names(cache.path()).is_empty());
    }
}
