//! The kubeconfig of the shim: the API server by address, its name for TLS beside it, its authority, and the token's file.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::timeout;

use super::config::ApiServer;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// Where the API server is, in a form that needs no resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub url: String,
    pub tls_server_name: Option<String>,
    /// PEM.
    pub authority: Vec<u8>,
}

impl Server {
    /// What is configured, else what pods are told, else what this process uses itself.
    pub async fn of(configured: &ApiServer, base: &kube::Config) -> anyhow::Result<Self> {
        let told = |key| std::env::var(key).ok().filter(|v| !v.is_empty());
        let name = Some(configured.tls_server_name.clone()).filter(|n| !n.is_empty());
        let authority = authority(base).await?;
        if !configured.address.is_empty() {
            let (url, host) = resolved(&configured.address).await?;
            return Ok(Self { url, tls_server_name: name.or(host), authority });
        }
        let own = base.cluster_url.to_string().trim_end_matches('/').to_owned();
        match (told(HOST), told(PORT), base.root_cert_file.as_deref()) {
            (Some(host), Some(port), Some(_)) => {
                let url = address(&host, &port);
                Ok(Self { url, tls_server_name: name, authority })
            }
            _ => Ok(Self { url: own, tls_server_name: name.or(base.tls_server_name.clone()), authority }),
        }
    }
}

fn address(host: &str, port: &str) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    }
}

/// The URL with an address in place of a name, and that name.
async fn resolved(url: &str) -> anyhow::Result<(String, Option<String>)> {
    let uri: http::Uri = url.parse().with_context(|| format!("`apiServer.address` `{url}` is not a URL"))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(443);
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok((address(&host, &port.to_string()), None));
    }
    let found = timeout(Duration::from_secs(5), tokio::net::lookup_host((host.as_str(), port))).await;
    let found: Option<SocketAddr> = found
        .map_err(|_| anyhow!("`{host}` of `apiServer.address` is not resolved in time"))?
        .with_context(|| format!("`{host}` of `apiServer.address` cannot be resolved; use an address"))?
        .next();
    let found = found.with_context(|| format!("`{host}` of `apiServer.address` has no address"))?;
    Ok((format!("https://{found}"), Some(host)))
}

async fn authority(base: &kube::Config) -> anyhow::Result<Vec<u8>> {
    if let Some(file) = &base.root_cert_file {
        let read = tokio::task::spawn_blocking({
            let file = file.clone();
            move || std::fs::read(file)
        });
        return read.await?.with_context(|| format!("the authority `{}` cannot be read", file.display()));
    }
    let certificates = base.root_cert.as_deref().unwrap_or_default();
    Ok(certificates.iter().map(|der| pem(der)).collect::<String>().into_bytes())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// JSON is YAML.
pub fn text(server: &Server) -> String {
    let mut cluster = json!({"server": server.url});
    if let Some(keys) = cluster.as_object_mut() {
        if !server.authority.is_empty() {
            keys.insert("certificate-authority-data".into(), STANDARD.encode(&server.authority).into());
        }
        if let Some(name) = &server.tls_server_name {
            keys.insert("tls-server-name".into(), name.clone().into());
        }
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        // Beside the kubeconfig, wherever that is mounted.
        "users": [{"name": "manifold-shim", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "manifold", "context": {"cluster": "cluster", "user": "manifold-shim"}}],
        "current-context": "manifold",
    });
    let mut text = serde_json::to_string_pretty(&config).expect("strings and lists always serialise");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_either_family_makes_a_url() {
        assert_eq!(address("10.96.0.1", "443"), "https://10.96.0.1:443");
        assert_eq!(address("fd00::1", "443"), "https://[fd00::1]:443");
    }

    #[tokio::test]
    async fn a_name_becomes_an_address_and_stays_the_name_for_tls() {
        assert_eq!(resolved("https://10.0.0.1:6443").await.unwrap(), ("https://10.0.0.1:6443".into(), None));
        let (url, name) = resolved("https://localhost:6443").await.unwrap();
        assert!(url == "https://127.0.0.1:6443" || url == "https://[::1]:6443", "{url}");
        assert_eq!(name.as_deref(), Some("localhost"));
    }
}
