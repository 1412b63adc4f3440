//! The executable that is a whole Kubernetes control plane, built from the Go module in `e2e/cluster`.

use std::path::PathBuf;

use anyhow::Context;

use crate::go_tool::{self, GoTool};
use crate::project;

/// The cached executable; built first where the cache lacks it. `progress` hears one line per step.
pub fn cluster_binary(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let go_mod = go_tool::read(&project::root().join("e2e/cluster/go.mod"))?;
    let tool = GoTool {
        module: "e2e/cluster",
        sources: &["go.mod", "go.sum", "main.go"],
        package: ".",
        name: "cluster",
        about: "the cluster executable (about ten minutes the first time)",
        linker: stamps(kubernetes_version(&go_mod)?),
    };
    tool.executable(progress)
}

/// Clients refuse to parse the version of a server that was built without.
fn stamps(version: &str) -> String {
    let mut parts = version.splitn(3, '.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut linker = String::new();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [
            ("gitVersion", format!("v{version}").as_str()),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("gitCommit", "module"),
            ("buildDate", "2026-01-01T00:00:00Z"),
        ] {
            linker.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    linker
}

/// The one version that `go.mod` requires: read there, so that the stamp and the code cannot disagree.
fn kubernetes_version(go_mod: &str) -> anyhow::Result<&str> {
    go_mod
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .context("`e2e/cluster/go.mod` does not require `k8s.io/kubernetes`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stamp_is_the_version_that_go_mod_requires() {
        let go_mod = "require (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.36.3\n)\n";
        assert_eq!(kubernetes_version(go_mod).unwrap(), "1.36.3");
        assert!(kubernetes_version("module x\n").is_err());
    }
}
