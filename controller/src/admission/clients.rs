//! Who may ask for reviews: everybody, or with `admission.clientAuthority` those with a certificate of that authority.
//!
//! The API server shows one where its own configuration says so (docs/admission.md). The file is read again from time to time, so
//! that an authority can be exchanged without a restart; a file that cannot be read changes nothing.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::serving::{Serving, provider};
use super::common_name::common_name;
use crate::config::Admission;
use crate::context::Stop;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Where connections come in; clones are the same door.
#[derive(Clone)]
pub(super) struct Door {
    serving: Serving,
    config: Arc<Admission>,
    state: Arc<RwLock<State>>,
}

struct State {
    tls: TlsAcceptor,
    /// The file that it was made from.
    authority: Option<Vec<u8>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    pub(super) fn new(serving: Serving, config: &Admission) -> anyhow::Result<Self> {
        let authority = config.client_authority.as_deref().map(read).transpose()?;
        let tls = tls(&serving, authority.as_deref(), config)?;
        let state = Arc::new(RwLock::new(State { tls, authority }));
        Ok(Self { serving, config: Arc::new(config.clone()), state })
    }

    /// Shakes hands. None: with somebody who may not ask.
    pub(super) async fn enter(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let tls = self.state.read().unwrap_or_else(PoisonError::into_inner).tls.clone();
        let stream = tls.accept(stream).await.ok()?;
        let names = &self.config.client_names;
        if names.is_empty() {
            return Some(stream);
        }
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let name = shown.and_then(|certificate| common_name(certificate));
        if name.as_ref().is_some_and(|name| names.contains(name)) {
            return Some(stream);
        }
        let name = manifold_cni::name::printable(name.as_deref().unwrap_or_default());
        tracing::warn!("a client named `{name}` is not answered; `admission.clientNames` does not have it");
        None
    }

    /// Takes what the file says by then, until it is time to end.
    pub(super) async fn follow(&self, mut stop: Stop) {
        let Some(path) = &self.config.client_authority else { return };
        loop {
            tokio::select! {
                () = stop.asked() => return,
                () = sleep(LOOK) => {}
            }
            if let Err(error) = self.renew(path) {
                tracing::warn!("the authority of the webhook's clients stays as it was: {error:#}");
            }
        }
    }

    fn renew(&self, path: &Path) -> anyhow::Result<()> {
        let authority = Some(read(path)?);
        if self.state.read().unwrap_or_else(PoisonError::into_inner).authority == authority {
            return Ok(());
        }
        let tls = tls(&self.serving, authority.as_deref(), &self.config)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { tls, authority };
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!(
            "`admission.clientAuthority`: cannot read `{}`; name a file of certificates in PEM",
            path.display()
        )
    })
}

fn tls(serving: &Serving, authority: Option<&[u8]>, config: &Admission) -> anyhow::Result<TlsAcceptor> {
    let path = || config.client_authority.as_deref().unwrap_or(Path::new("")).display().to_string();
    let clients = authority.map(verifier).transpose();
    serving.tls(clients.with_context(|| format!("`admission.clientAuthority`: `{}`", path()))?)
}

fn verifier(pem: &[u8]) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| anyhow::anyhow!("it is not PEM: {e}"))?;
        roots.add(certificate).context("it has a certificate that cannot be used")?;
    }
    if roots.is_empty() {
        bail!("it has no certificate; put those of the authority there, in PEM");
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    builder.build().context("its certificates cannot be used")
}
