//! Folders that outlive a call: leases, ledger, locks, spool, device-info; and who holds a lock in them.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fact::{Facts, Fields, Kind};

pub(super) fn look(folders: &[(String, PathBuf)]) -> anyhow::Result<Facts> {
    let mut walk = Walk::default();
    for (what, path) in folders {
        // The folder itself is nobody's leak: plugins make it when they first need it. A file is.
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.is_dir() => walk.file(what.clone(), path, &metadata),
            _ => walk.inside(what, path)?,
        }
    }
    let Walk { mut facts, inodes } = walk;
    let locks = fs::read_to_string("/proc/locks").context("cannot read `/proc/locks`")?;
    for (inode, holder) in locks.lines().filter_map(held) {
        if let Some(name) = inodes.get(&inode) {
            let fields = Fields::from([("holder".to_string(), holder)]);
            facts.add("machine", Kind::Lock, name.clone(), fields);
        }
    }
    Ok(facts)
}

#[derive(Default)]
struct Walk {
    facts: Facts,
    /// By device and inode: files of different file systems have the same inodes.
    inodes: BTreeMap<(u64, u64), String>,
}

impl Walk {
    fn inside(&mut self, name: &str, folder: &Path) -> anyhow::Result<()> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            // It may have gone since the folder was read.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            self.file(name.clone(), &path, &metadata);
            if metadata.is_dir() {
                self.inside(&name, &path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: String, path: &Path, metadata: &Metadata) {
        self.inodes.insert((metadata.dev(), metadata.ino()), name.clone());
        self.facts.add("machine", Kind::File, name, describe(path, metadata));
    }
}

/// Every absolute path in a definition. What belongs to the kernel changes by itself, and is looked at elsewhere.
pub(super) fn paths_in(value: &Value, found: &mut impl FnMut(&Path)) {
    match value {
        Value::String(text) => {
            let path = Path::new(text);
            let of_kernel = ["/proc", "/sys", "/dev"].iter().any(|root| path.starts_with(root));
            if path.is_absolute() && path.components().count() > 1 && !of_kernel {
                found(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| paths_in(inner, found)),
        Value::Object(object) => object.values().for_each(|inner| paths_in(inner, found)),
        _ => {}
    }
}

fn describe(path: &Path, metadata: &Metadata) -> Fields {
    let mode = format!("{:o}", metadata.mode());
    let content = if metadata.is_file() {
        let hash: String = Sha256::digest(fs::read(path).unwrap_or_default())
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{} bytes, hash {hash}", metadata.len())
    } else if metadata.is_symlink() {
        format!("link to {}", fs::read_link(path).unwrap_or_default().display())
    } else {
        String::new()
    };
    Fields::from([("content".to_string(), content), ("mode".to_string(), mode)])
}

/// `1: FLOCK  ADVISORY  WRITE 4242 00:1f:98765 0 EOF`: the inode, and who holds it. A line with `->` only waits.
fn held(line: &str) -> Option<((u64, u64), String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, kind, _, access, pid, file, ..] = words.as_slice() else { return None };
    if *kind == "->" {
        return None;
    }
    let mut parts = file.split(':');
    let mut number = |radix| u64::from_str_radix(parts.next()?, radix).ok();
    let device = nix::libc::makedev(u32::try_from(number(16)?).ok()?, u32::try_from(number(16)?).ok()?);
    Some(((device, number(10)?), format!("{kind} {access} by process {pid}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_told_from_one_that_is_waited_for() {
        let held_by = held("1: FLOCK  ADVISORY  WRITE 4242 00:1f:98765 0 EOF");
        let file = (nix::libc::makedev(0, 0x1f), 98765);
        assert_eq!(held_by, Some((file, "FLOCK WRITE by process 4242".to_string())));
        assert_eq!(held("1: -> FLOCK  ADVISORY  WRITE 4243 00:1f:98765 0 EOF"), None);
        assert_eq!(held(""), None);
    }
}
