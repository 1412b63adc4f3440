//! What belongs to no single namespace: processes that live in one that is watched, and mounts of namespaces.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::fact::{Facts, Fields, Kind};
use crate::netns::{FOLDER, PREFIX};

pub(super) fn look(places: &[(String, PathBuf)]) -> anyhow::Result<Facts> {
    let mut facts = Facts::default();
    processes(places, &mut facts)?;
    mounts(&mut facts)?;
    Ok(facts)
}

fn processes(places: &[(String, PathBuf)], facts: &mut Facts) -> anyhow::Result<()> {
    let watched: Vec<(u64, &str)> = places
        .iter()
        .filter_map(|(name, path)| Some((fs::metadata(path).ok()?.ino(), name.as_str())))
        .collect();
    for entry in fs::read_dir("/proc").context("cannot read `/proc`")?.flatten() {
        let folder = entry.path();
        let file = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        // Not a process, or one that has ended since.
        let Ok(netns) = fs::metadata(folder.join("ns/net")) else { continue };
        let Some((_, place)) = watched.iter().find(|(inode, _)| *inode == netns.ino()) else { continue };
        let name = format!("{} ({})", file("comm").trim(), entry.file_name().display());
        let words = file("cmdline").replace('\0', " ");
        facts.add(
            place,
            Kind::Process,
            name,
            Fields::from([("command".to_string(), words.trim().to_string())]),
        );
    }
    Ok(())
}

/// Mounts of namespaces anywhere, and files in the folder of named ones that lost their mount.
fn mounts(facts: &mut Facts) -> anyhow::Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the table of mounts")?;
    for line in table.lines().filter(|line| line.contains(" - nsfs ")) {
        let words: Vec<&str> = line.split(' ').collect();
        if let [_, _, _, root, point, ..] = words.as_slice() {
            add(Path::new(point), root, facts);
        }
    }
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        add(&entry.path(), "a file", facts);
    }
    Ok(())
}

/// Namespaces of tests, of this one and of those beside it, come and go as they like. Those of a cluster lie below its folder.
fn add(path: &Path, what: &str, facts: &mut Facts) {
    let ours = path.iter().any(|name| name.to_string_lossy().starts_with(PREFIX));
    if !ours {
        let fields = Fields::from([("what".to_string(), what.to_string())]);
        facts.add("machine", Kind::Namespace, path.display().to_string(), fields);
    }
}
