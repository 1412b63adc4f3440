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
  "daemonSocketDir": "@RUN@/socket", "delegates": [@DEFAULT@]}"#;

/// It empties its socket's folder, and goes on only once it has found a primary network in its folder of configurations.
const MULTUS_DAEMON: &str = r#"{"cniVersion": "1.0.0", "logLevel": "error", "logToStderr": true,
  "kubeconfig": "@KUBECONFIG@", "socketDir": "@RUN@/socket", "multusConfigFile": "auto",
  "cniConfigDir": "@RUN@/net.d", "multusAutoconfigDir": "@RUN@/net.d",
  "binDir": "@CNI@", "cniDir": "@STATE@/multus"}"#;

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
    let primary = format!("{}=@RUN@/net.d/10-default.conf", file(bed, "primary.conf", "@DEFAULT@")?);
    let command = format!("exec {} -config @CONF@", daemon.display());
    let words = [
        ["--daemon", &command],
        ["--daemon-conf", &conf],
        ["--render", &primary],
        ["--daemon-ready", "@RUN@/socket/multus.sock"],
    ];
    let words = words.into_iter().flatten().chain(["--in-cluster"]);
    Ok(words.map(str::to_owned).collect())
}

fn file(bed: &Bed, name: &str, text: &str) -> anyhow::Result<String> {
    let path = bed.file(name);
    fs::write(&path, text).with_context(|| format!("cannot write `{path}`"))?;
    Ok(path)
}
