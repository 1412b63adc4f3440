//! Where a plugin's executable is: the first match in the configured folders, if only root can have put it there.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{CniError, PluginType};

#[cfg(test)]
mod tests;

/// Why a plugin cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No folder has it.
    #[error("plugin `{kind}` is not installed on this node; looked in {}", list(.searched))]
    Missing {
        /// Its type.
        kind: PluginType,
        /// The folders.
        searched: Vec<PathBuf>,
    },
    /// Others than root could have put it there.
    #[error("plugin `{kind}` is not executed: `{}` {why}", .path.display())]
    Unsafe {
        /// Its type.
        kind: PluginType,
        /// Where.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

impl From<NotFound> for CniError {
    fn from(e: NotFound) -> Self {
        Self::config(e.to_string())
    }
}

/// Looks through `folders` in order. A folder or a file without execute permission of that name is passed over, as the
/// next folder may have the real one (CNI-EXE-4). The type is a parsed name, so it cannot leave its folder.
///
/// Whoever can write an executable, its folder, or the folder a link leads to, would act as root here; so a match
/// that others than root (or the user we run as) can write is an error and not passed over (S-1).
///
/// # Errors
/// If no folder has it, or it must not be executed.
pub fn find(kind: &PluginType, folders: &[PathBuf]) -> Result<PathBuf, NotFound> {
    for folder in folders.iter().filter(|f| f.is_absolute()) {
        let path = folder.join(kind.as_str());
        let Ok(meta) = path.metadata() else { continue };
        if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
            continue;
        }
        return match writable_by_others(folder, &path) {
            None => Ok(path),
            Some((path, why)) => Err(NotFound::Unsafe { kind: kind.clone(), path, why }),
        };
    }
    Err(NotFound::Missing { kind: kind.clone(), searched: folders.to_vec() })
}

/// The file, the folder it was found in, and the folder that it really lies in when it is a link.
fn writable_by_others(folder: &Path, file: &Path) -> Option<(PathBuf, String)> {
    let real = file.canonicalize().ok();
    let home = real.as_deref().and_then(Path::parent);
    let places = [Some(folder), Some(file), home];
    places.into_iter().flatten().find_map(|place| Some((place.to_owned(), complaint(place)?)))
}

fn complaint(place: &Path) -> Option<String> {
    let Ok(meta) = place.metadata() else { return Some("cannot be examined".to_owned()) };
    find_other_writer(meta.uid(), meta.gid(), meta.mode(), nix::unistd::geteuid().as_raw())
}

/// Who but root and the user of this process could replace a file with this owner, group and mode.
fn find_other_writer(owner: u32, group: u32, mode: u32, user: u32) -> Option<String> {
    if owner != 0 && owner != user {
        return Some(format!("belongs to user {owner}, who could replace it; fix it with `chown 0:0`"));
    }
    // Members of group 0 are root's own.
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && group != 0) {
        return Some(format!(
            "has mode {:o}, so others than root can write it; fix it with `chmod go-w`",
            mode & 0o7777
        ));
    }
    None
}

fn list(searched: &[PathBuf]) -> String {
    if searched.is_empty() {
        return "no folder at all, because CNI_PATH is empty".to_owned();
    }
    searched
        .iter()
        .map(|p| format!("`{}`", crate::name::printable(&p.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(", ")
}
