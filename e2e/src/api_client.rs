//! A small client of the API server for the test beds' own needs: one request, one connection, one answer.
//!
//! It speaks HTTP/1.0, for then the server ends the connection after the answer and nothing is sent in chunks. kubectl
//! would do the same work in a hundred times the processor time, which a suite with a namespace per test would feel.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::certificates::{Authority, Identity};
use crate::netns;

mod session;

pub use session::{Session, Watch};

/// No single request of a test bed may take longer, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to one API server as one identity.
#[derive(Clone, Debug)]
pub struct ApiClient {
    port: u16,
    /// The network namespace in which the server's loopback address is; none: this process's own.
    netns: Option<PathBuf>,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("the answer is not JSON: {}", self.text()))
    }
}

impl ApiClient {
    /// Speaks with a client certificate.
    pub fn new(
        port: u16,
        netns: Option<PathBuf>,
        authority: &Authority,
        who: &Identity,
    ) -> anyhow::Result<Self> {
        Self::from_pem(port, netns, authority.pem(), &who.certificate, &who.key)
    }

    /// The same, from what files say: for a server that another process started.
    pub fn from_pem(
        port: u16,
        netns: Option<PathBuf>,
        authority: &str,
        certificate: &str,
        key: &str,
    ) -> anyhow::Result<Self> {
        let chain =
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).context("not a certificate")?];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("not a private key")?;
        let tls = trusting(authority)?.with_client_auth_cert(chain, key)?;
        Ok(Self { port, netns, tls: Arc::new(tls), token: None })
    }

    /// Speaks with a service account's token.
    pub fn with_token(
        port: u16,
        netns: Option<PathBuf>,
        authority: &Authority,
        token: &str,
    ) -> anyhow::Result<Self> {
        Self::from_token(port, netns, authority.pem(), token)
    }

    /// The same for a server that another process started.
    pub fn from_token(
        port: u16,
        netns: Option<PathBuf>,
        authority: &str,
        token: &str,
    ) -> anyhow::Result<Self> {
        let tls = trusting(authority)?.with_no_client_auth();
        Ok(Self { port, netns, tls: Arc::new(tls), token: Some(token.trim().to_string()) })
    }

    /// Any request; an answer that says no is an answer, not an error.
    pub fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let mut stream = StreamOwned::new(self.tls()?, self.connect()?);
        let bearer = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let bearer = bearer.unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: kubernetes\r\nAccept: application/json\r\n\
             {bearer}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body))
            .and_then(|()| stream.flush());
        sent.with_context(|| format!("{method} {path} could not be sent"))?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // The server may close without TLS's own goodbye; the head tells whether the answer is whole.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(error).with_context(|| format!("{method} {path} was not answered"))
            }
            _ => parse(&answer)
                .with_context(|| format!("{method} {path} was answered with something else than HTTP")),
        }
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call("GET", path, "application/json", b"")
    }

    /// Sends JSON, and takes a refusal as an error.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let answer = self.call(method, path, kind, body.to_string().as_bytes())?;
        if !answer.ok() {
            bail!("{method} {path} was refused with {}: {}", answer.status, answer.text());
        }
        answer.json()
    }

    /// Creates an object in the collection `path`; one that is there already is left as it is.
    pub fn create_if_missing(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        let answer = self.call("POST", path, "application/json", object.to_string().as_bytes())?;
        if !answer.ok() && answer.status != 409 {
            bail!("POST {path} was refused with {}: {}", answer.status, answer.text());
        }
        Ok(())
    }

    fn tls(&self) -> anyhow::Result<ClientConnection> {
        let name = ServerName::try_from("kubernetes").expect("a plain DNS name");
        ClientConnection::new(Arc::clone(&self.tls), name).context("TLS cannot be set up")
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let connect = || TcpStream::connect_timeout(&address, PATIENCE);
        let stream = match &self.netns {
            None => connect(),
            Some(netns) => netns::inside(netns, connect)?,
        };
        let stream = stream.with_context(|| format!("cannot connect to the API server at {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn trusting(authority: &str) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).context("the authority is not PEM")?)?;
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn parse(answer: &[u8]) -> anyhow::Result<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("the head has no end")?;
    let (head, body) = answer.split_at(end);
    let head = std::str::from_utf8(head).context("the head is not text")?;
    let status =
        head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).context("there is no status")?;
    let body = body.get(4..).unwrap_or_default().to_vec();
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if announced.is_some_and(|announced| announced != body.len()) {
        bail!("the body was cut short");
    }
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (404, b"{}".as_slice()));
    }

    #[test]
    fn an_answer_that_was_cut_short_is_an_error() {
        assert!(parse(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}").is_err());
        assert!(parse(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
