//! The configuration entries under which each executable is measured: the same default network, the same rights.
//!
//! What stands between `@` the driver fills in; see its header.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::bed::Bed;

const MANIFOLD: &str = r#"{"cniVersion": "1.0.0", "name": "manifold", "type": "manifold",
  "kubeconfig": "@KUBECONFIG@", "delegates": [@DEFAULT@], "multusNamespace": "cnibench",
  "binDir": "@CNI@", "stateDir": "@STATE@/manifold"}"#;

const MULTUS: &str = r#"{"cniVersion": "1.0.0", "name": "multus", "type": "multus",
  "kubeconfig": "@KUBECONFIG@", "delegates": [@DEFAULT@],
  "binDir": "@CNI@", "cniDir": "@STATE@/multus"}"#;

const MULTUS_SHIM: &str = r#"{"cniVersion": "1.0.0", "name": "multus", "type": "multus-shim",
  "socketDir": "@RUN@", "delegates": [@DEFAULT@]}"#;

const MULTUS_DAEMON: &str = r#"{"cniVersion": "1.0.0", "name": "multus", "type": "multus", "logLevel": "error",
  "kubeconfig": "@KUBECONFIG@", "socketDir": "@RUN@", "binDir": "@CNI@", "cniDir": "@STATE@/multus",
  "delegates": [@DEFAULT@]}"#;

/// Writes the entry of one executable; returns its path.
pub(super) fn write(bed: &Bed, name: &str) -> anyhow::Result<String> {
    let text = match name {
        "manifold" => MANIFOLD,
        "multus" => MULTUS,
        _ => MULTUS_SHIM,
    };
    file(bed, &format!("{name}.conf"), text)
}

/// How the driver starts the thick plugin's daemon.
pub(super) fn daemon_words(bed: &Bed, daemon: &Path) -> anyhow::Result<Vec<String>> {
    let conf = file(bed, "daemon.conf", MULTUS_DAEMON)?;
    let command = format!("exec {} -config @CONF@", daemon.display());
    let words =
        ["--daemon", &command, "--daemon-conf", &conf, "--daemon-ready", "@RUN@/multus.sock", "--in-cluster"];
    Ok(words.into_iter().map(str::to_owned).collect())
}

fn file(bed: &Bed, name: &str, text: &str) -> anyhow::Result<String> {
    let path = bed.file(name);
    fs::write(&path, text).with_context(|| format!("cannot write `{path}`"))?;
    Ok(path)
}
