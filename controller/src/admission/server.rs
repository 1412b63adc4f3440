//! The listening side: TLS, HTTP/1.1 and HTTP/2, a bounded number of connections of a bounded age, for whoever comes (F-CTL-11).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::clients::Door;
use super::service::Webhook;
use crate::context::Stop;
use crate::places::{Peer, Place, Places};

/// An API server holds a few. Who comes when they are used up takes the place of one on which nothing is being answered.
const CONNECTIONS: usize = 256;
const CONNECTIONS_OF_PEER: usize = 128;
/// With those that have given their place and take their leave.
const TASKS: usize = 2 * CONNECTIONS;
/// Nobody needs longer to say who it is, or what it wants.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEAD: Duration = Duration::from_secs(5);
/// From the handshake to the first request.
const FIRST_REQUEST: Duration = Duration::from_secs(5);
/// Then a connection is told to end, so that idle ones do not use up all there are.
const AGE: Duration = Duration::from_secs(300);
/// What is being answered when a connection ends gets this long.
const FAREWELL: Duration = Duration::from_secs(3);
/// What one connection can make us keep: heads of its streams, and bodies that nobody has read yet. The API server opens another
/// connection where these do not suffice.
const STREAMS: u32 = 32;
const HEAD_MOST_BYTES: u32 = 8 << 10;
const STREAM_MOST_BYTES: u32 = 64 << 10;
const CONNECTION_MOST_BYTES: u32 = 128 << 10;

/// Accepts until it is time to end, then lets the answers that are under way go out.
pub(super) async fn accept(listener: TcpListener, door: Door, webhook: Webhook, mut stop: Stop) {
    let places = Places::new(CONNECTIONS, CONNECTIONS_OF_PEER);
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < TASKS;
        let stream = tokio::select! {
            () = stop.asked() => break,
            stream = next(&listener), if has_room => stream,
            Some(_) = connections.join_next() => continue,
        };
        if let Some(place) = Peer::of(&stream).and_then(|peer| places.take(peer)) {
            connections.spawn(serve(stream, Arc::new(place), door.clone(), webhook.clone(), stop.clone()));
        }
    }
    drop(listener);
    // Each ends itself by then.
    let _ = timeout(HANDSHAKE + FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of descriptors, or the other side is gone already: both pass.
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, place: Arc<Place>, door: Door, webhook: Webhook, mut stop: Stop) {
    let _ = stream.set_nodelay(true);
    // Scanners, probes and servers that do not trust us yet end here; the API server says so in its own log.
    let stream = tokio::select! {
        stream = timeout(HANDSHAKE, door.enter(stream)) => stream,
        () = place.gives_way() => return,
    };
    let Ok(Some(stream)) = stream else { return };
    let own = Arc::clone(&place);
    let service = service_fn(move |request| {
        let answering = own.answering();
        let answer = webhook.clone().call(request);
        async move {
            let _answering = answering;
            answer.await
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.asked() => false,
        () = place.gives_way() => false,
        () = asks_nothing(&place) => true,
        () = sleep(AGE) => false,
    };
    if !ended && place.has_asked() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}

/// Returns when nothing was asked in time.
async fn asks_nothing(place: &Place) {
    sleep(FIRST_REQUEST).await;
    if place.has_asked() {
        std::future::pending::<()>().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_MOST_BYTES)
        .initial_stream_window_size(STREAM_MOST_BYTES)
        .initial_connection_window_size(CONNECTION_MOST_BYTES)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}
