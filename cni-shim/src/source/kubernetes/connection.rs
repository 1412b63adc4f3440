//! One connection to the API server for a whole call, over which requests travel at the same time.
//!
//! `kube`'s own connector speaks HTTP/1.1 only. Here the server chooses: with HTTP/2, as every API server, all
//! requests share one connection; a proxy that knows only HTTP/1.1 gets a connection per request that is under way.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, ConfigExt};
use tokio::sync::Mutex;
use tower::{BoxError, Service};

/// A handle; clones share the connection.
#[derive(Clone)]
pub(super) struct Connection(Arc<Shared>);

struct Shared {
    server: Uri,
    https: HttpsConnector<HttpConnector>,
    // Held while connecting, so that requests that come meanwhile wait for the one connection.
    open: Mutex<Open>,
}

enum Open {
    Nothing,
    Http2(http2::SendRequest<Body>),
    /// Those that are idle or about to be.
    Http1(Vec<http1::SendRequest<Body>>),
}

enum Sender {
    Http2(http2::SendRequest<Body>),
    Http1(http1::SendRequest<Body>),
}

impl Connection {
    /// Prepares; connects nothing.
    pub(super) fn new(config: &Config) -> Result<Self, BoxError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let mut builder =
            HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
        if let Some(name) = config.tls_server_name.clone() {
            builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name.try_into()?));
        }
        let https = builder.enable_http1().enable_http2().wrap_connector(tcp);
        let server = config.cluster_url.clone();
        Ok(Self(Arc::new(Shared { server, https, open: Mutex::new(Open::Nothing) })))
    }

    /// Lets the connection go: it gave no answer in time, the next attempt makes a new one.
    pub(super) fn abandon(&self) {
        // Whoever holds the lock is making a new one already.
        if let Ok(mut open) = self.0.open.try_lock() {
            *open = Open::Nothing;
        }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            match shared.sender().await? {
                Sender::Http2(mut sender) => Ok(sender.send_request(request).await?),
                Sender::Http1(sender) => shared.send_http1(sender, request).await,
            }
        })
    }
}

impl Shared {
    async fn sender(&self) -> Result<Sender, BoxError> {
        let mut open = self.open.lock().await;
        match &mut *open {
            Open::Http2(sender) if !sender.is_closed() => return Ok(Sender::Http2(sender.clone())),
            Open::Http1(idle) => {
                if let Some(at) = idle.iter().position(http1::SendRequest::is_ready) {
                    return Ok(Sender::Http1(idle.swap_remove(at)));
                }
            }
            _ => {}
        }
        let sender = self.connect().await?;
        match &sender {
            Sender::Http2(sender) => *open = Open::Http2(sender.clone()),
            Sender::Http1(_) if matches!(&*open, Open::Http1(_)) => {}
            Sender::Http1(_) => *open = Open::Http1(Vec::new()),
        }
        Ok(sender)
    }

    async fn connect(&self) -> Result<Sender, BoxError> {
        // A server's name is looked up on a thread, and tokio panics where the node gives none.
        let connecting = AssertUnwindSafe(self.https.clone().call(self.server.clone())).catch_unwind();
        let io = connecting.await.map_err(|_| "the node gives no thread to look up the server's name")??;
        if io.connected().is_negotiated_h2() {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
            // How a connection ends is told by the requests on it.
            tokio::spawn(async { _ = driver.await });
            return Ok(Sender::Http2(sender));
        }
        let (sender, driver) = http1::handshake(io).await?;
        tokio::spawn(async { _ = driver.await });
        Ok(Sender::Http1(sender))
    }

    async fn send_http1(
        &self,
        mut sender: http1::SendRequest<Body>,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, BoxError> {
        // HTTP/1.1 has the path in its first line and the server in a header.
        if let Some(authority) = request.uri().authority() {
            let host = HeaderValue::from_str(authority.as_str())?;
            request.headers_mut().insert(HOST, host);
        }
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let answer = sender.send_request(request).await?;
        if let Open::Http1(idle) = &mut *self.open.lock().await {
            idle.push(sender);
        }
        Ok(answer)
    }
}
