//! The texts to check: files as named, folders with everything in them that ends like YAML or JSON, standard input.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A file, by the name that messages give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) file: String,
    pub(super) text: String,
}

/// Far beyond what a cluster can hold as manifests, and small enough to hold in memory.
const MOST_BYTES: u64 = 64 << 20;

pub(super) fn gather(named: &[PathBuf]) -> anyhow::Result<Vec<Text>> {
    let mut texts = Vec::new();
    for path in named {
        match path.as_os_str().to_str() {
            Some("-") => texts.push(standard_input()?),
            _ if path.is_dir() => folder(path, &mut texts)?,
            _ => texts.push(file(path)?),
        }
    }
    Ok(texts)
}

fn standard_input() -> anyhow::Result<Text> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .context("cannot read standard input")?;
    Ok(Text { file: "-".to_owned(), text })
}

fn file(path: &Path) -> anyhow::Result<Text> {
    let whole = || -> anyhow::Result<String> {
        let size = fs::metadata(path)?.len();
        if size > MOST_BYTES {
            bail!("it has {size} bytes, and {MOST_BYTES} are allowed");
        }
        String::from_utf8(fs::read(path)?).context("it is not UTF-8")
    };
    let text = whole().with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Text { file: path.display().to_string(), text })
}

/// Hidden files and folders are somebody else's, and links to folders may go in circles.
fn folder(path: &Path, texts: &mut Vec<Text>) -> anyhow::Result<()> {
    let read = || -> std::io::Result<Vec<fs::DirEntry>> { fs::read_dir(path)?.collect() };
    let mut entries = read().with_context(|| format!("cannot read the folder `{}`", path.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries.iter().filter(|e| !e.file_name().to_string_lossy().starts_with('.')) {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match ending {
            _ if is_folder => folder(&path, texts)?,
            "yaml" | "yml" | "json" if path.is_file() => texts.push(file(&path)?),
            _ => {}
        }
    }
    Ok(())
}
