//! The listening side: TLS, HTTP/1.1 and HTTP/2, a bounded number of connections of a bounded age.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::service::Webhook;
use crate::context::Stop;

/// An API server holds a few. Who comes when they are used up waits in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Nobody needs longer to say who it is, or what it wants.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEAD: Duration = Duration::from_secs(5);
/// Then a connection is told to end, so that idle ones do not use up all there are.
const AGE: Duration = Duration::from_secs(300);
/// What is being answered when a connection ends gets this long.
const FAREWELL: Duration = Duration::from_secs(3);
const STREAMS: u32 = 100;

/// Accepts until it is time to end, then lets the answers that are under way go out.
pub(super) async fn accept(listener: TcpListener, tls: TlsAcceptor, webhook: Webhook, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            () = stop.asked() => break,
            next = next(&listener, &places) => next,
            Some(_) = connections.join_next() => continue,
        };
        let connection = serve(stream, tls.clone(), webhook.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            connection.await;
        });
    }
    drop(listener);
    // Each ends itself by then.
    let _ = timeout(HANDSHAKE + FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

/// The next connection, when there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Out of descriptors, or the other side is gone already: both pass.
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, webhook: Webhook, mut stop: Stop) {
    let _ = stream.set_nodelay(true);
    // Scanners, probes and servers that do not trust us yet end here; the API server says so in its own log.
    let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await else { return };
    let service = service_fn(move |request| webhook.clone().call(request));
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.asked() => false,
        () = sleep(AGE) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}
