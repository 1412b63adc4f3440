//! gRPC over a unix socket, as a kubelet and its plugins speak it: HTTP/2 by hyper, frames written here, so that a test
//! can also send what no library would.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::bytes::Bytes;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a method answers.
#[derive(Clone, Debug)]
pub enum Reply {
    Message(Vec<u8>),
    /// Messages of a stream that stays open.
    Stream(Vec<Vec<u8>>),
    Refused {
        code: u32,
        message: String,
    },
    /// These bytes in the place of a message with its frame.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Silence,
}

impl Reply {
    pub fn of(message: &impl prost::Message) -> Self {
        Self::Message(message.encode_to_vec())
    }
}

/// A server; ends when dropped.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` is asked with the method's path and the message.
    pub fn start(
        socket: &Path,
        answer: impl Fn(&str, &[u8]) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let _ = fs::remove_file(socket);
        let listener = std::os::unix::net::UnixListener::bind(socket)
            .with_context(|| format!("cannot listen at `{}`", socket.display()))?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let listener = UnixListener::from_std(listener).expect("the socket is a listening one");
                // Whichever ends first; the other is dropped.
                futures::future::select(Box::pin(accept(listener, Arc::new(answer))), stopped).await;
            });
        };
        let thread = thread::Builder::new().name("grpc".into()).spawn(serve)?;
        Ok(Self { socket: socket.to_owned(), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
    }
}

type Answer = dyn Fn(&str, &[u8]) -> Reply + Send + Sync;

async fn accept(listener: UnixListener, answer: Arc<Answer>) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| one(Arc::clone(&answer), request));
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        // A client may leave at any time.
        tokio::spawn(async { _ = served.await });
    }
}

async fn one(answer: Arc<Answer>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let message = request.into_body().collect().await?.to_bytes();
    let reply = answer(&path, message.get(5..).unwrap_or_default());
    if matches!(reply, Reply::Silence) {
        std::future::pending::<()>().await;
    }
    let response = Response::builder().header("content-type", "application/grpc").body(body(reply));
    Ok(response.expect("the header is a valid one"))
}

fn body(reply: Reply) -> Body {
    let (data, end) = match reply {
        Reply::Message(message) => (vec![framed(&message)], Some(trailers(0, ""))),
        Reply::Stream(messages) => (messages.iter().map(|m| framed(m)).collect(), None),
        Reply::Refused { code, message } => (Vec::new(), Some(trailers(code, &message))),
        Reply::Raw(bytes) => (vec![bytes], Some(trailers(0, ""))),
        Reply::Silence => (Vec::new(), None),
    };
    let data = stream::iter(data).map(|bytes| Ok(Frame::data(Bytes::from(bytes))));
    let stays_open = end.is_none();
    let end = stream::iter(end).map(|end| Ok(Frame::trailers(end)));
    match stays_open {
        true => StreamBody::new(data.chain(stream::pending())).boxed_unsync(),
        false => StreamBody::new(data.chain(end)).boxed_unsync(),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("messages of tests are small").to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

fn trailers(code: u32, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    let printable: String = message.chars().filter(|c| (' '..='~').contains(c)).collect();
    if let Ok(message) = HeaderValue::from_str(&printable) {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// One call of one method, as a client.
pub fn call(socket: &Path, method: &str, message: &impl prost::Message) -> anyhow::Result<Vec<u8>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = UnixStream::connect(socket).await.with_context(|| format!("`{}`", socket.display()))?;
        let (mut sender, driver) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(async { _ = driver.await });
        let request = Request::post(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(framed(&message.encode_to_vec()))))?;
        let answer = sender.send_request(request).await?;
        let refused = |headers: &HeaderMap| -> anyhow::Result<()> {
            let header = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            match header("grpc-status") {
                "" | "0" => Ok(()),
                code => bail!("`{method}` is refused with {code}: {}", header("grpc-message")),
            }
        };
        refused(answer.headers())?;
        let collected = answer.into_body().collect().await?;
        collected.trailers().map_or(Ok(()), refused)?;
        let bytes = collected.to_bytes();
        ensure!(bytes.len() >= 5, "`{method}` answers without a message");
        Ok(bytes.get(5..).unwrap_or_default().to_vec())
    })
}
