//! Where a cluster keeps what it is made of, and what it calls it.
//!
//! Everything lies below one folder. Two clusters with different folders do not see each other: each has network
//! namespaces of its own, and names its cgroups after the folder.

use std::env;
use std::path::{Path, PathBuf};

/// Where the cluster lies that `cargo xtask cluster` makes.
const FOLDER: &str = "/var/lib/manifold-cluster";
/// Short: paths of sockets below it may have 108 bytes.
pub(super) const DISKS: &str = "m";
/// Another folder, and so another cluster.
pub const VARIABLE: &str = "MANIFOLD_CLUSTER";

#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// What `MANIFOLD_CLUSTER` names, or the usual one.
    pub fn of_environment() -> Self {
        let named = env::var_os(VARIABLE).filter(|set| !set.is_empty());
        Self::at(&named.map_or_else(|| PathBuf::from(FOLDER), PathBuf::from))
    }

    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.join("admin.kubeconfig")
    }

    pub(super) fn pki(&self, name: &str) -> PathBuf {
        self.join("pki").join(name)
    }

    /// What a component says.
    pub fn log(&self, process: &str) -> PathBuf {
        self.join("log").join(format!("{process}.log"))
    }

    /// A mount of its own, which namespaces are mounted below.
    pub(super) fn namespaces(&self) -> PathBuf {
        self.join("ns")
    }

    /// The disk of a machine.
    pub(super) fn disk(&self, machine: &str) -> PathBuf {
        self.join(DISKS).join(machine)
    }

    /// The name of a machine's cgroups: the folder's whole path, so that clusters do not share one. A kubelet ends what it
    /// does not know in its own.
    pub(super) fn cgroup(&self, machine: &str) -> String {
        let name = self.folder.to_string_lossy();
        let name = name.trim_start_matches('/');
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{plain}.{machine}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_in_different_folders_have_different_cgroups() {
        let of = |folder: &str| Place::at(Path::new(folder)).cgroup("node1");
        assert_eq!(of("/var/lib/manifold-cluster"), "var-lib-manifold-cluster.node1");
        assert_ne!(of("/tmp/a/cluster"), of("/tmp/b/cluster"));
        assert_ne!(of("/tmp/a b"), of("/tmp/c"));
    }
}
