//! Where the tools of a host are: in the folders that distributions use, and in `PATH`.
//!
//! The usual folders come first, because runtimes often hand on a `PATH` that lacks `sbin`. Some hosts have a tool in
//! `PATH` alone: k3s, k0s and buildkit bring their own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use manifold_process::Job;
pub use manifold_process::{Ended, NoEnd};

/// The rules of a host with thousands of services fit. Bytes.
const OUTPUT_MOST: usize = 64 << 20;

const USUAL_FOLDERS: &[&str] = &[
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/run/current-system/sw/bin",
];

/// The executable of that name, `None` where the host has none.
pub fn find(name: &str) -> Option<PathBuf> {
    find_in(&folders(), name)
}

/// The folders that are searched, in this order.
pub fn folders() -> Vec<PathBuf> {
    folders_with(env::var_os("PATH").as_deref())
}

/// Runs a tool to its end. It dies with the thread that called this, and holds the locks that this thread hands on
/// (`manifold_process::hand_on`): no tool works beside a later call (F-RUN-1).
///
/// # Errors
/// If it cannot be started, or did not end by the deadline and was killed.
pub fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
    deadline: Instant,
) -> Result<Ended, NoEnd> {
    let mut command = Command::new(program);
    // Nothing of our environment changes what it does, and its messages are in English.
    command.args(arguments).env_clear().env("PATH", search_path());
    manifold_process::run(&mut command, &Job { stdin: input, deadline, stdout_most: OUTPUT_MOST }, |_| true)
}

/// A `PATH` of these folders, for a tool that is a script and needs others.
fn search_path() -> OsString {
    // No folder holds a colon: each is one of ours, or was part of a `PATH`.
    env::join_paths(folders()).unwrap_or_else(|_| USUAL_FOLDERS.join(":").into())
}

pub(crate) fn find_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| is_executable(path))
}

/// A relative folder would be one of whatever directory the caller works in.
fn folders_with(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = USUAL_FOLDERS.iter().map(PathBuf::from).collect();
    for folder in path.map(env::split_paths).into_iter().flatten() {
        if folder.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: COMPAT-22
    #[test]
    fn usual_folders_come_first_and_each_absolute_folder_of_path_follows_once() {
        let folders = folders_with(Some(OsStr::new("/opt/tools:/usr/bin:relative::/opt/tools:/k3s/bin/aux")));
        let further: Vec<_> = folders[USUAL_FOLDERS.len()..].iter().map(|folder| folder.to_str()).collect();
        assert_eq!(folders[0], Path::new("/usr/sbin"));
        assert_eq!(further, [Some("/opt/tools"), Some("/k3s/bin/aux")]);
        assert_eq!(folders_with(None).len(), USUAL_FOLDERS.len());
    }

    #[test]
    fn only_what_can_be_executed_is_a_tool() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [first.path().to_owned(), second.path().to_owned()];
        fs::create_dir(first.path().join("one")).unwrap();
        fs::write(first.path().join("two"), "").unwrap();
        for name in ["one", "two"] {
            fs::write(second.path().join(name), "").unwrap();
            fs::set_permissions(second.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(find_in(&folders, name), Some(second.path().join(name)));
        }
        assert_eq!(find_in(&folders, "three"), None);
    }
}
