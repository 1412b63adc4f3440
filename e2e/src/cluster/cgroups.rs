//! The cgroups of a node: one of its own in every hierarchy, in which the kubelet makes those of its pods.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

const ROOT: &str = "/sys/fs/cgroup";
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the second version, which has one hierarchy.
const CONTROLLERS: &str = "+cpuset +cpu +io +memory +pids";

/// Whether the machine has the second version only.
pub(super) fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

pub(super) fn make(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let own = hierarchy.join(name);
        fs::create_dir_all(&own).with_context(|| format!("cannot make the cgroup `{}`", own.display()))?;
    }
    if is_unified() {
        for folder in [PathBuf::from(ROOT), Path::new(ROOT).join(name)] {
            let file = folder.join("cgroup.subtree_control");
            fs::write(&file, CONTROLLERS).with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        return Ok(());
    }
    // A cpuset of the first version is born empty, and nothing can run in it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let whole = Path::new(ROOT).join("cpuset").join(file);
        let all = fs::read(&whole).with_context(|| format!("cannot read `{}`", whole.display()))?;
        let own = Path::new(ROOT).join("cpuset").join(name).join(file);
        fs::write(&own, all).with_context(|| format!("cannot write `{}`", own.display()))?;
    }
    Ok(())
}

/// Removes them with all below. Nothing may run in them any more.
pub(crate) fn remove(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let own = hierarchy.join(name);
        let deadline = Instant::now() + PATIENCE;
        // What was killed leaves its cgroup a moment after it has ended for everybody else.
        while let Err(error) = remove_tree(&own) {
            if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() > deadline {
                return Err(error).with_context(|| format!("cannot remove the cgroup `{}`", own.display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// A cgroup's files go with its folder, so only folders are removed.
fn remove_tree(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    if is_unified() {
        return Ok(vec![PathBuf::from(ROOT)]);
    }
    let entries = fs::read_dir(ROOT).with_context(|| format!("cannot read `{ROOT}`"))?;
    let folders = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    Ok(folders.map(|entry| entry.path()).collect())
}

/// Whether a process is in a cgroup of this name, or below it.
pub(super) fn has(name: &str, pid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| {
        path.strip_prefix('/')
            .and_then(|p| p.strip_prefix(name))
            .is_some_and(|r| r.is_empty() || r.starts_with('/'))
    })
}
