//! Why a folder of the host cannot be written, as one sentence that names the value to look at.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::unistd::{AccessFlags, faccessat};

use super::config::Host;

/// The label of a process, where the kernel has SELinux.
const OWN_LABEL: &str = "/proc/self/attr/current";
/// Processes with this type may write everywhere.
const FREE_TYPE: &str = "spc_t";

/// A folder of the host, and the chart's value that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub path: PathBuf,
    pub value: &'static str,
}

impl Folder {
    pub fn of_plugins(host: &Host) -> Self {
        Self { path: host.bin(), value: "binDir" }
    }

    pub fn of_configurations(host: &Host) -> Self {
        Self { path: host.conf(), value: "confDir" }
    }

    pub fn of_state(host: &Host) -> Self {
        Self { path: host.state(), value: "stateDir" }
    }

    /// What stands in the way of writing to it.
    pub fn explain(&self, error: &io::Error) -> String {
        explain(self, error, own_label().as_deref())
    }

    fn is_denied(&self) -> bool {
        faccessat(AT_FDCWD, &self.path, AccessFlags::W_OK, nix::fcntl::AtFlags::AT_EACCESS)
            .is_err_and(|e| is_denial(&io::Error::from(e)))
    }
}

/// The folder that an error of one of them comes from, explained; `None`: it is no denial, or not that of a folder.
pub fn explain_first(folders: &[Folder], error: &io::Error) -> Option<String> {
    if !is_denial(error) {
        return None;
    }
    folders.iter().find(|folder| folder.is_denied()).map(|folder| folder.explain(error))
}

fn is_denial(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn explain(folder: &Folder, error: &io::Error, label: Option<&str>) -> String {
    let Folder { path, value } = folder;
    let path = path.display();
    match (error.kind(), label.filter(|label| !label.contains(&format!(":{FREE_TYPE}:")))) {
        (ErrorKind::ReadOnlyFilesystem, _) => format!(
            "the folder `{path}` cannot be written ({error}); name one that the container runtime uses and that is writable in \
             `node.{value}` (`host.{value}`), or choose the nodes' `platform`"
        ),
        (ErrorKind::PermissionDenied, Some(label)) => format!(
            "the folder `{path}` (`node.{value}`) cannot be written ({error}), which SELinux may deny to the label `{label}` of \
             this container; set `node.seLinuxOptions.type={FREE_TYPE}`"
        ),
        (ErrorKind::PermissionDenied, None) => format!(
            "the folder `{path}` cannot be written ({error}); name the right one in `node.{value}` (`host.{value}`), or, where it \
             does not belong to root, add DAC_OVERRIDE to `node.extraCapabilities`"
        ),
        _ => format!(
            "the folder `{path}` cannot be written ({error}); mount `host.{value}` of the host there, writable for this user"
        ),
    }
}

/// `user:role:type:level`. Other security modules write other things there.
fn own_label() -> Option<String> {
    let text = fs::read_to_string(Path::new(OWN_LABEL)).ok()?;
    let label = text.trim_matches(['\0', '\n', ' ']);
    (label.split(':').count() >= 4 && !label.contains(' ')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    // Shows part of: COMPAT-29
    #[test]
    fn a_denied_write_is_explained_with_the_value_that_helps() {
        let folder = Folder { path: "/opt/cni/bin".into(), value: "binDir" };
        let container = Some("system_u:system_r:container_t:s0:c1,c2");
        let free = Some("system_u:system_r:spc_t:s0");
        for (errno, label, parts) in [
            (Errno::EROFS, container, &["Read-only file system", "`node.binDir`", "`platform`"][..]),
            (
                Errno::EACCES,
                container,
                &["SELinux", "container_t:s0:c1,c2", "node.seLinuxOptions.type=spc_t"],
            ),
            (Errno::EPERM, container, &["SELinux", "node.seLinuxOptions"]),
            (Errno::EACCES, free, &["Permission denied", "`node.binDir`", "DAC_OVERRIDE"]),
            (Errno::EACCES, None, &["Permission denied", "`node.extraCapabilities`"]),
            (Errno::ENOENT, container, &["mount `host.binDir`"]),
        ] {
            let told = explain(&folder, &errno.into(), label);
            assert!(told.contains("`/opt/cni/bin`"), "{told}");
            parts.iter().for_each(|part| assert!(told.contains(part), "{errno}, {label:?}: {told}"));
            assert_eq!(
                told.contains("SELinux"),
                label == container && errno != Errno::EROFS && errno != Errno::ENOENT
            );
        }
    }

    #[test]
    fn an_error_that_no_folder_denies_is_not_explained_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { path: dir.path().to_owned(), value: "binDir" };
        let folders = [folder];
        assert_eq!(explain_first(&folders, &Errno::EACCES.into()), None, "the folder is writable");
        assert_eq!(explain_first(&folders, &Errno::ENOSPC.into()), None);
    }
}
