//! Writes kubeconfig files: the server by address, its name for TLS beside it, and one user.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::certificates::{Authority, Identity};

/// How the user of a kubeconfig proves who it is.
#[derive(Debug)]
pub enum User<'a> {
    Certificate(&'a Identity),
    TokenFile(&'a Path),
}

/// Writes the file, readable for its owner only. The server is on loopback.
pub fn write(path: &Path, port: u16, authority: &Authority, user: &User<'_>) -> anyhow::Result<()> {
    write_for(path, (Ipv4Addr::LOCALHOST, port).into(), authority.pem(), user)
}

/// The same, with the server somewhere else, and what signed its certificate as PEM.
pub fn write_for(path: &Path, server: SocketAddr, authority: &str, user: &User<'_>) -> anyhow::Result<()> {
    let text =
        serde_yaml::to_string(&content(server, authority, user)).context("a kubeconfig is not YAML")?;
    write_secret(path, &text)
}

/// Replaces a file by one of mode 0600, by renaming: nobody ever reads half of it.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let whole = || {
        let unfinished = path.with_extension("unfinished");
        // One that lies there would keep its mode.
        let _ = fs::remove_file(&unfinished);
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&unfinished, path)
    };
    whole().with_context(|| format!("cannot write `{}`", path.display()))
}

fn content(server: SocketAddr, authority: &str, user: &User<'_>) -> Value {
    let user = match user {
        User::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }),
        User::TokenFile(path) => json!({"tokenFile": path}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": format!("https://{server}"),
            "tls-server-name": "kubernetes",
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    })
}
