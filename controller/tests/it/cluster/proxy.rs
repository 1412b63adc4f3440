//! A way to the API server that ends a process at a chosen write: before the write is sent, or when it is done and its answer
//! is on the way.
//!
//! It takes plain HTTP on loopback, with the caller's token, and speaks TLS to the server.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use manifold_e2e::api_server::ApiServer;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Where in a write the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

type Action = Box<dyn FnMut() + Send>;

#[derive(Default)]
struct Trap {
    /// Counts down with each write; the action is called at 0.
    left: AtomicU32,
    after: Mutex<bool>,
    action: Mutex<Option<Action>>,
}

#[derive(Clone, Default)]
pub(super) struct Proxy {
    trap: Arc<Trap>,
    port: u16,
}

impl Proxy {
    /// Runs until the runtime ends.
    pub(super) async fn new(api: &ApiServer) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy = Self { trap: Arc::default(), port: listener.local_addr()?.port() };
        let (tls, trap, port) = (connector(api)?, Arc::clone(&proxy.trap), api.port());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, port, tls.clone(), Arc::clone(&trap)));
            }
        });
        Ok(proxy)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// At the `number`th write from now, counted from 1.
    pub(super) fn set(&self, number: u32, moment: Moment, action: impl FnMut() + Send + 'static) {
        *self.trap.after.lock().unwrap_or_else(PoisonError::into_inner) = moment == Moment::After;
        *self.trap.action.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(action));
        self.trap.left.store(number, Ordering::SeqCst);
    }

    /// Whether the write came.
    pub(super) fn is_sprung(&self) -> bool {
        self.trap.left.load(Ordering::SeqCst) == 0
    }
}

impl Trap {
    /// Whether this write is the one.
    fn counts(&self) -> bool {
        let step = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) == Ok(1)
    }

    fn spring(&self) {
        if let Some(action) = &mut *self.action.lock().unwrap_or_else(PoisonError::into_inner) {
            action();
        }
    }
}

fn connector(api: &ApiServer) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(api.authority().pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// One connection: requests upwards one by one, answers downwards as they come.
async fn relay(client: TcpStream, port: u16, tls: TlsConnector, trap: Arc<Trap>) -> anyhow::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let server = tls.connect(ServerName::try_from("kubernetes")?, server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (done, mut last) = tokio::sync::mpsc::channel::<()>(1);
    let up = Arc::clone(&trap);
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Some(request) = request(&mut from_client, &mut buffer).await {
            let one = is_write(&request) && up.counts();
            let after = *up.after.lock().unwrap_or_else(PoisonError::into_inner);
            if one && !after {
                return up.spring();
            }
            if one {
                let _ = done.send(()).await;
            }
            if to_server.write_all(&request).await.is_err() || to_server.flush().await.is_err() {
                return;
            }
        }
    });
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = from_server.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        if last.try_recv().is_ok() {
            // The server has answered: the write is done, and nobody learns of it.
            trap.spring();
            return Ok(());
        }
        copy(&mut chunk.get(..count).unwrap_or_default(), &mut to_client).await?;
    }
}

/// One whole request: the head and as many bytes as it announces.
async fn request(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(whole) = length(buffer).filter(|whole| buffer.len() >= *whole) {
            return Some(buffer.drain(..whole).collect());
        }
        if from.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(buffer.get(..end)?).ok()?;
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(end + announced.unwrap_or_default())
}

fn is_write(request: &[u8]) -> bool {
    [b"POST ".as_slice(), b"PUT ", b"PATCH ", b"DELETE "].iter().any(|verb| request.starts_with(verb))
}
