//! One question to the kubelet: a connection to its socket, `Get`, else `List`, within a deadline.
//!
//! The transport is hyper's HTTP/2, which the API client brings anyway; tonic does gRPC over it without a server, a
//! balancer or TLS of its own.

use std::error::Error as StdError;
use std::path::Path;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use super::KubeletError;
use super::error::short;
use super::messages::{
    GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest, ListPodResourcesResponse,
    PodResources,
};
use crate::source::PodRef;

const GET: &str = "/v1.PodResourcesLister/Get";
const LIST: &str = "/v1.PodResourcesLister/List";

/// A list of 500 pods with many devices each is below this.
const ANSWER_MOST: usize = 16 << 20;

/// The kubelet answers 100 questions a second; those above it are told so, and asked again.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(320);

/// What the kubelet knows of the pod.
pub(super) fn pod_resources(
    socket: &Path,
    pod: &PodRef,
    deadline: Instant,
) -> Result<PodResources, KubeletError> {
    let began = Instant::now();
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| {
        KubeletError::unreachable(
            socket,
            format!("cannot create an event loop: {e}; raise the limit of open files"),
        )
    })?;
    let late = || KubeletError::Late {
        socket: socket.to_owned(),
        pod: pod.to_string(),
        within: deadline.saturating_duration_since(began),
    };
    runtime.block_on(async {
        let answer = tokio::time::timeout_at(deadline.into(), ask(socket, pod, deadline));
        answer.await.unwrap_or_else(|_| Err(late()))
    })
}

async fn ask(socket: &Path, pod: &PodRef, deadline: Instant) -> Result<PodResources, KubeletError> {
    let mut kubelet = Kubelet::connect(socket, pod, deadline).await?;
    let wanted =
        GetPodResourcesRequest { pod_name: pod.name.to_string(), pod_namespace: pod.namespace.to_string() };
    let got: Result<GetPodResourcesResponse, Status> = kubelet.call(GET, wanted).await?;
    match got {
        Ok(GetPodResourcesResponse { pod_resources: Some(found) }) => match is_of(&found, pod) {
            true => Ok(found),
            false => Err(KubeletError::garbage(socket, "its answer is about another pod")),
        },
        // Old kubelets do not have it, others have it switched off, and no code tells that from an unknown pod.
        Ok(_) => kubelet.listed().await,
        Err(status) if may_be_missing(status.code()) => kubelet.listed().await,
        Err(status) => Err(kubelet.refused(&status)),
    }
}

fn may_be_missing(code: Code) -> bool {
    matches!(code, Code::Unimplemented | Code::Unknown | Code::NotFound)
}

fn is_of(found: &PodResources, pod: &PodRef) -> bool {
    found.name == pod.name.as_str() && found.namespace == pod.namespace.as_str()
}

struct Kubelet<'a> {
    grpc: Grpc<Connection>,
    socket: &'a Path,
    pod: &'a PodRef,
    deadline: Instant,
}

impl<'a> Kubelet<'a> {
    async fn connect(socket: &'a Path, pod: &'a PodRef, deadline: Instant) -> Result<Self, KubeletError> {
        let unreachable = |e: &dyn std::fmt::Display| KubeletError::unreachable(socket, e);
        let stream = UnixStream::connect(socket).await.map_err(|e| unreachable(&e))?;
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| KubeletError::garbage(socket, e))?;
        // How a connection ends is told by the requests on it.
        tokio::spawn(async { _ = driver.await });
        let grpc = Grpc::with_origin(Connection(sender), Uri::from_static("http://localhost"))
            .max_decoding_message_size(ANSWER_MOST);
        Ok(Self { grpc, socket, pod, deadline })
    }

    async fn listed(&mut self) -> Result<PodResources, KubeletError> {
        let answer: Result<ListPodResourcesResponse, Status> =
            self.call(LIST, ListPodResourcesRequest {}).await?;
        let all = answer.map_err(|status| self.refused(&status))?.pod_resources;
        let mut own = all.into_iter().filter(|found| is_of(found, self.pod));
        match (own.next(), own.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(KubeletError::NoSuchPod { pod: self.pod.to_string() }),
            // A pod that ends and its successor have the same name, and the kubelet's answer has no UID.
            (Some(_), Some(_)) => Err(KubeletError::TwoPods { pod: self.pod.to_string() }),
        }
    }

    /// The kubelet's answer or its refusal. Errors are those of the way to it, and a kubelet that stays busy.
    async fn call<Q, A>(
        &mut self,
        method: &'static str,
        question: Q,
    ) -> Result<Result<A, Status>, KubeletError>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut wait = FIRST_WAIT;
        loop {
            let status = match self.once(method, question.clone()).await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(status) => status,
            };
            // A status that was made here and not there has the cause with it.
            if let Some(cause) = status.source() {
                return Err(KubeletError::garbage(self.socket, innermost(cause)));
            }
            if status.code() != Code::ResourceExhausted {
                return Ok(Err(status));
            }
            if Instant::now() + wait >= self.deadline {
                return Err(KubeletError::Busy { said: short(status.message()) });
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn once<Q, A>(&mut self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut request = tonic::Request::new(question);
        request.set_timeout(self.deadline.saturating_duration_since(Instant::now()));
        let codec = ProstCodec::<Q, A>::default();
        let answer = self.grpc.unary(request, PathAndQuery::from_static(method), codec).await;
        answer.map(tonic::Response::into_inner)
    }

    fn refused(&self, status: &Status) -> KubeletError {
        let said = match status.message() {
            "" => status.code().description(),
            said => said,
        };
        KubeletError::refused(self.socket, self.pod, said)
    }
}

/// The first cause says most; those around it only that something failed.
fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last
}

/// hyper's connection in the form in which tonic takes one.
struct Connection(SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
