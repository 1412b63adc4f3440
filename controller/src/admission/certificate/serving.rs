//! Every replica's part: the certificate of the Secret is served, and the next one as soon as it is there.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::stored::{Issued, Stored};
use crate::admission::Metrics;
use crate::context::{Context, Stop};

/// What is served now. Until there is something, every handshake is refused, and the API server goes on without us.
#[derive(Clone, Default)]
pub(in crate::admission) struct Serving(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

impl Serving {
    pub(in crate::admission) fn new() -> Self {
        Self::default()
    }

    /// New connections get what is served then. With a verifier only those who show it a certificate get in.
    pub(in crate::admission) fn tls(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> anyhow::Result<TlsAcceptor> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Who resumes a session does not look at the certificate again.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// From now on this one.
    pub(in crate::admission) fn swap(&self, issued: &Issued) -> anyhow::Result<()> {
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes())
            .map_err(|e| anyhow::anyhow!("its certificate is not PEM: {e}"))?;
        let key = PrivateKeyDer::from_pem_slice(issued.key.0.as_bytes())
            .map_err(|e| anyhow::anyhow!("its key is not PEM: {e}"))?;
        let certified = CertifiedKey::from_der(vec![certificate], key, &provider())
            .context("its certificate and key do not match")?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(in crate::admission) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Follows the Secret until it is time to end. One that is gone or torn changes nothing here: what was good is served on.
pub(in crate::admission) async fn follow(
    context: &Context,
    serving: &Serving,
    metrics: &Metrics,
    mut stop: Stop,
) {
    let name = &context.config.admission.secret;
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &context.config.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let secrets = watcher(secrets, only).default_backoff();
    pin_mut!(secrets);
    loop {
        let event = tokio::select! {
            () = stop.asked() => return,
            event = secrets.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret))) => {
                if let Err(error) = take(&secret, serving, metrics) {
                    tracing::warn!(
                        secret = name,
                        error = format!("{error:#}"),
                        "the webhook's certificate is rejected"
                    );
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(secret = name, %error, "the watch of the certificate is interrupted");
            }
            None => return,
        }
    }
}

fn take(secret: &Secret, serving: &Serving, metrics: &Metrics) -> anyhow::Result<()> {
    let stored = Stored::read(secret)?;
    serving.swap(&stored.current)?;
    metrics.certificate_until(stored.current.expires);
    Ok(())
}
