//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP. Whoever reaches the port can ask; nobody keeps the kubelet from asking
//! (F-CTL-10).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::places::{Peer, Place, Places};

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Who reads our metrics is one scraper and one kubelet; more than this at once is nobody we know.
const CONNECTIONS: usize = 32;
const CONNECTIONS_OF_PEER: usize = 8;
/// From the beginning of a connection to the end of the request's head.
const HEAD: Duration = Duration::from_secs(5);
const HEAD_MOST_BYTES: usize = 16 << 10;
/// No connection is kept for longer. Each carries one answer.
const LIFE: Duration = Duration::from_secs(30);

pub struct Page {
    pub registry: Registry,
    /// What stands in the way of the work yet, a sentence each.
    pub missing: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Page")
    }
}

/// Answers for as long as the process runs.
pub async fn answer(listener: TcpListener, page: Arc<Page>) {
    let places = Places::new(CONNECTIONS, CONNECTIONS_OF_PEER);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(place) = Peer::of(&stream).and_then(|peer| places.take(peer)) {
                    tokio::spawn(serve(stream, place, Arc::clone(&page)));
                }
            }
            Err(error) => {
                // Too many open files, most likely.
                tracing::warn!("a connection to the status page was lost: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, place: Place, page: Arc<Page>) {
    let service = service_fn(|request| respond(request, Arc::clone(&page)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_MOST_BYTES).keep_alive(false);
    let connection = timeout(LIFE, server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that goes away in the middle is its own affair.
        _ = connection => {}
        () = place.gives_way() => {}
    }
}

async fn respond(request: Request<Incoming>, page: Arc<Page>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, kind, body) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => ready(&(page.missing)()),
        "/metrics" => metrics(&page.registry),
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}

fn ready(missing: &[String]) -> (StatusCode, &'static str, String) {
    match missing.is_empty() {
        true => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{}\n", missing.join("\n"))),
    }
}

fn metrics(registry: &Registry) -> (StatusCode, &'static str, String) {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => (StatusCode::OK, METRICS, text),
        Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be printed\n".to_owned())
        }
    }
}
