//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP.

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
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Who reads our metrics is one scraper and one kubelet; more than this at once is nobody we know.
const CONNECTIONS: usize = 32;
/// No connection is kept for longer.
const LIFE: Duration = Duration::from_secs(120);

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
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, most likely.
                tracing::warn!("a connection to the status page was lost: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, Arc::clone(&page)));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            // A client that goes away in the middle is its own affair.
            let _ = timeout(LIFE, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(slot);
        });
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
