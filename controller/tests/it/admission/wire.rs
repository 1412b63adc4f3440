//! Talks to a webhook without an API server in between: TLS by hand, HTTP/1.1 by hand, whatever bytes a test wants.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use manifold_e2e::certificates::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub(crate) struct Wire(StreamOwned<ClientConnection, TcpStream>);

/// The status and the body.
pub(crate) type Answer = (u16, String);

impl Wire {
    /// Shakes hands as one that trusts this bundle.
    pub(crate) fn connect(port: u16, bundle: &str) -> io::Result<Self> {
        Self::connect_as(port, bundle, None)
    }

    /// With a certificate to show, where one is asked for.
    pub(crate) fn connect_as(port: u16, bundle: &str, shown: Option<&Identity>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(authority.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key, .. }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("manifold-webhook.manifold-system.svc").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Self(StreamOwned::new(tls, stream)))
    }

    /// The certificate that was served.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let head =
            format!("POST {path}?timeout=2s HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(head.as_bytes())?;
        // A server that has heard enough answers early and closes.
        let _ = self.send(body);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut read)?;
        };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while read.len() < end + length {
            self.more(&mut read)?;
        }
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap();
        Ok((status, String::from_utf8_lossy(&read[end..]).into_owned()))
    }

    fn more(&mut self, read: &mut Vec<u8>) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.0.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                read.extend_from_slice(&piece[..n]);
                Ok(())
            }
        }
    }
}
