//! Who we are and where the API server is: a kubeconfig, or what a pod's environment tells.
//!
//! The kubeconfig is read when a call is first needed. A parse error is told by its line only: the text around it
//! may be the token.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use manifold_cni::name::printable;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use super::super::{Kind, SourceError, confdir};
use super::token::{Bearer, TokenFrom};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MOST: u64 = 1 << 20;

/// Where the API server is, as the environment of a pod tells it; `main` reads the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEnvironment {
    pub host: String,
    pub port: String,
    /// Holds `ca.crt` and `token`.
    pub secrets: PathBuf,
}

impl ClusterEnvironment {
    /// From KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
    pub fn new(host: &str, port: &str) -> Self {
        Self { host: host.to_owned(), port: port.to_owned(), secrets: SERVICE_ACCOUNT.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    Kubeconfig(PathBuf),
    InCluster(ClusterEnvironment),
}

impl Credentials {
    pub(super) fn load(&self) -> Result<(Config, TokenFrom), SourceError> {
        match self {
            Self::Kubeconfig(path) => from_kubeconfig(path),
            Self::InCluster(environment) => in_cluster(environment),
        }
    }
}

fn bad(what: String) -> SourceError {
    SourceError::new(Kind::Credentials, what)
}

fn in_cluster(environment: &ClusterEnvironment) -> Result<(Config, TokenFrom), SourceError> {
    let ClusterEnvironment { host, port, secrets } = environment;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let url = server(&format!("https://{host}:{port}"), "the environment")?;
    let mut config = Config::new(url);
    config.root_cert = Some(authorities(&read(&secrets.join("ca.crt"), "CA file")?, "the service account")?);
    Ok((config, TokenFrom::File(secrets.join("token"))))
}

fn from_kubeconfig(path: &Path) -> Result<(Config, TokenFrom), SourceError> {
    let place = format!("kubeconfig `{}`", path.display());
    let bytes = read(path, "kubeconfig")?;
    let file: Kubeconfig = serde_yaml::from_slice(&bytes).map_err(|e| {
        let line = e.location().map(|l| format!(" at line {}", l.line())).unwrap_or_default();
        bad(format!("{place} is truncated or not a kubeconfig{line}; the node agent writes it, so check that it runs on this node"))
    })?;
    let (cluster, user) = chosen(&file, &place)?;
    refuse_unsafe(cluster, user, &place)?;
    let beside = |name: &str| path.parent().unwrap_or(Path::new("/")).join(name);
    let url = cluster.server.as_deref().ok_or_else(|| {
        bad(format!("{place} names no `server`; add it, or check that the node agent rewrites the file"))
    })?;
    let mut config = Config::new(server(url, &place)?);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|n| !n.is_empty());
    config.root_cert = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) if !data.is_empty() => Some(authorities(&decoded(data, &place)?, &place)?),
        (_, Some(name)) if !name.is_empty() => Some(authorities(&read(&beside(name), "CA file")?, &place)?),
        _ => None,
    };
    config.auth_info = AuthInfo {
        client_certificate: user.client_certificate.as_deref().map(|n| text(&beside(n))),
        client_certificate_data: user.client_certificate_data.clone(),
        client_key: user.client_key.as_deref().map(|n| text(&beside(n))),
        client_key_data: user.client_key_data.clone(),
        ..AuthInfo::default()
    };
    Ok((config, token(user, &beside, &place)?))
}

fn token(user: &AuthInfo, beside: &dyn Fn(&str) -> PathBuf, place: &str) -> Result<TokenFrom, SourceError> {
    // A file wins, as in the reference client: it is the one that is renewed.
    if let Some(name) = user.token_file.as_deref().filter(|n| !n.is_empty()) {
        return Ok(TokenFrom::File(beside(name)));
    }
    let Some(secret) = &user.token else { return Ok(TokenFrom::Nowhere) };
    let bearer = Bearer::of(secret.expose_secret())
        .ok_or_else(|| bad(format!("{place} has a `token` that is not valid")))?;
    Ok(TokenFrom::Inline(bearer))
}

/// The cluster and user of the current context.
fn chosen<'a>(file: &'a Kubeconfig, place: &str) -> Result<(&'a Cluster, &'a AuthInfo), SourceError> {
    let missing = |what: &str, name: &str| {
        let name = printable(name);
        bad(format!("{place} has no {what} `{name}`; add it, or check that the node agent rewrites the file"))
    };
    let current = file.current_context.as_deref().unwrap_or_default();
    let context = (file.contexts.iter().find(|c| c.name == current))
        .and_then(|c| c.context.as_ref())
        .ok_or_else(|| missing("context", current))?;
    let cluster = (file.clusters.iter().find(|c| c.name == context.cluster))
        .and_then(|c| c.cluster.as_ref())
        .ok_or_else(|| missing("cluster", &context.cluster))?;
    let name = context.user.as_deref().unwrap_or_default();
    let user = (file.auth_infos.iter().find(|u| u.name == name))
        .and_then(|u| u.auth_info.as_ref())
        .ok_or_else(|| missing("user", name))?;
    Ok((cluster, user))
}

/// Keys that would make the connection less than it should be, or that would be ignored in silence.
fn refuse_unsafe(cluster: &Cluster, user: &AuthInfo, place: &str) -> Result<(), SourceError> {
    let odd = if cluster.insecure_skip_tls_verify == Some(true) {
        "`insecure-skip-tls-verify`, but Manifold always verifies the server; \
         remove it and give `certificate-authority-data`"
    } else if cluster.proxy_url.as_deref().is_some_and(|p| !p.is_empty()) {
        "`proxy-url`, which is not supported; remove it and set the address of the API server itself"
    } else if user.exec.is_some() || user.auth_provider.is_some() {
        "a credential plugin (`exec` or `auth-provider`), but Manifold runs none; \
         use `tokenFile` or a client certificate"
    } else if user.username.is_some() || user.password.is_some() {
        "`username` or `password`, which API servers no longer take; use `tokenFile` or a client certificate"
    } else {
        return Ok(());
    };
    Err(bad(format!("{place} has {odd}")))
}

/// Plain HTTP is for a proxy on this very machine; anywhere else it would give the token away.
fn server(url: &str, place: &str) -> Result<Uri, SourceError> {
    let wrong = |why| bad(format!("{place} has the server `{}`, {why}", printable(url)));
    let parsed: Uri = url.parse().map_err(|_| wrong("which is not a URL"))?;
    let host = parsed.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match parsed.scheme_str() {
        Some("https") if !host.is_empty() => Ok(parsed),
        Some("http") if here => Ok(parsed),
        _ => Err(wrong("but only `https://` is accepted; correct it")),
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, SourceError> {
    confdir::regular(path, MOST).map_err(|why| {
        bad(format!(
            "{what} `{}` cannot be read ({why}); the node agent writes it, so check that it runs on this node",
            path.display()
        ))
    })
}

fn decoded(data: &str, place: &str) -> Result<Vec<u8>, SourceError> {
    let engine = base64::engine::general_purpose::STANDARD;
    let text: String = data.split_whitespace().collect();
    engine
        .decode(text)
        .map_err(|_| bad(format!("{place} has a `certificate-authority-data` that is not base64")))
}

fn authorities(pem: &[u8], place: &str) -> Result<Vec<Vec<u8>>, SourceError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).map(|c| c.map(|c| c.to_vec())).collect();
    match found {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => {
            Err(bad(format!("the certificate authority of {place} is not a PEM certificate; write it again")))
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
