//! An API server that misbehaves on demand: real TCP, TLS and HTTP, answers by a closure.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// How the server behaves below HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Http2,
    Http1,
    /// Accepts in the kernel and never says a word.
    BlackHole,
    HangUp,
    /// Bytes that are not TLS.
    Garbage,
    /// TLS, and then bytes that are not HTTP.
    GarbageInTls,
}

pub(super) enum Reply {
    Json(u16, String),
    With(u16, Vec<(&'static str, String)>, String),
    Slow(Duration, String),
    /// Begins and ends in the middle.
    Cut(&'static str),
    /// Never ends, as fast as it is read.
    Endless,
    /// Never ends, one byte now and then.
    Trickle,
}

#[derive(Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authorization: Option<String>,
    pub(super) accept: String,
    pub(super) content_type: String,
    pub(super) body: String,
    pub(super) at: Instant,
}

/// A serving certificate: what it is valid for, and when.
pub(super) struct Identity {
    pub(super) authority: String,
    config: ServerConfig,
}

impl Identity {
    pub(super) fn good() -> Self {
        Self::of("127.0.0.1", 2001, 2099)
    }

    pub(super) fn of(name: &str, from: i32, until: i32) -> Self {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { authority, config }
    }
}

type Handler = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// Runs on a thread of its own until the test process ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) authority: String,
    state: Arc<State>,
}

struct State {
    wire: Wire,
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    handler: Box<Handler>,
}

impl Server {
    /// The handler gets the request and how many came before it.
    pub(super) fn start(wire: Wire, handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), wire, Identity::good(), handler)
    }

    pub(super) fn start_on(
        listener: TcpListener,
        wire: Wire,
        mut identity: Identity,
        handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            wire,
            connections: AtomicUsize::new(0),
            seen: Mutex::default(),
            handler: Box::new(handler),
        });
        identity.config.alpn_protocols = if wire == Wire::Http1 { vec![] } else { vec![b"h2".to_vec()] };
        let (inside, tls) = (state.clone(), TlsAcceptor::from(Arc::new(identity.config)));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, tls, inside));
        });
        Self { address, authority: identity.authority, state }
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut held = Vec::new();
    loop {
        let (mut tcp, _) = listener.accept().await.unwrap();
        state.connections.fetch_add(1, Ordering::SeqCst);
        match state.wire {
            Wire::BlackHole => held.push(tcp),
            Wire::HangUp => drop(tcp),
            Wire::Garbage => _ = tcp.write_all(&[0xff; 512]).await,
            Wire::GarbageInTls | Wire::Http1 | Wire::Http2 => {
                tokio::spawn(serve(tcp, tls.clone(), state.clone()));
            }
        }
    }
}

async fn serve(tcp: tokio::net::TcpStream, tls: TlsAcceptor, state: Arc<State>) {
    // As real API servers do. Without it each small record waits for an acknowledgement that the kernel delays.
    tcp.set_nodelay(true).unwrap();
    // A client that does not trust us ends here.
    let Ok(mut stream) = tls.accept(tcp).await else { return };
    if state.wire == Wire::GarbageInTls {
        _ = stream.read(&mut [0; 1024]).await;
        _ = stream.write_all(&[b'x'; 4096]).await;
        _ = stream.shutdown().await;
        return;
    }
    let wire = state.wire;
    let service = service_fn(move |request| answer(state.clone(), request));
    let io = TokioIo::new(stream);
    if wire == Wire::Http1 {
        _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    } else {
        _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, std::io::Error>>, Infallible> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).map(|v: &http::HeaderValue| v.to_str().unwrap().to_owned());
    let seen = Seen {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        authorization: header("authorization"),
        accept: header("accept").unwrap_or_default(),
        content_type: header("content-type").unwrap_or_default(),
        body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        at,
    };
    let before = {
        let mut all = state.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    Ok(match (state.handler)(&seen, before) {
        Reply::Json(status, text) => response(status, vec![], full(text)),
        Reply::With(status, headers, text) => response(status, headers, full(text)),
        Reply::Slow(wait, text) => {
            tokio::time::sleep(wait).await;
            response(200, vec![], full(text))
        }
        Reply::Cut(text) => {
            let parts =
                [Ok(Frame::data(Bytes::from_static(text.as_bytes()))), Err(std::io::Error::other("cut"))];
            response(200, vec![], StreamBody::new(futures::stream::iter(parts)).boxed_unsync())
        }
        Reply::Endless => {
            let chunk = || Ok(Frame::data(Bytes::from_static(&[b' '; 16 << 10])));
            response(200, vec![], StreamBody::new(futures::stream::repeat_with(chunk)).boxed_unsync())
        }
        Reply::Trickle => {
            let drops = futures::stream::repeat(()).then(|()| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(Frame::data(Bytes::from_static(b" ")))
            });
            response(200, vec![], StreamBody::new(drops).boxed_unsync())
        }
    })
}

fn full(text: String) -> UnsyncBoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn response(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: UnsyncBoxBody<Bytes, std::io::Error>,
) -> Response<UnsyncBoxBody<Bytes, std::io::Error>> {
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
