//! One HTTP request: which review it is, how much of it is read, what is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use kube::Client;
use manifold_plan::Policy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::guard::{NoAnswer, answered};
use super::known::KnownDefinitions;
use super::metrics::{Ending, Metrics, Subject};
use super::review::{Question, Verdict, answer};
use super::{definition, pod, pool, workload};
use crate::config::Config;
use crate::context::Context;

/// The largest body: two objects of the API server's own limit of 1.5 MiB.
const MOST_BYTES: u64 = 3 * 1024 * 1024;
/// All bodies together, in KiB. Who comes when they are used up waits, within its own time.
const ALL_BODIES: u32 = 32 * 1024;
/// The API server hangs up after 2 s.
const TIME: Duration = Duration::from_millis(1_900);

/// Answers requests; clones answer as one.
#[derive(Clone)]
pub(super) struct Webhook {
    config: Arc<Config>,
    policy: Arc<Policy>,
    client: Client,
    known: KnownDefinitions,
    metrics: Metrics,
    bodies: Arc<Semaphore>,
}

type Answer = Response<Full<Bytes>>;

impl Webhook {
    pub(super) fn new(context: &Context, metrics: Metrics, known: KnownDefinitions) -> Self {
        Self {
            config: Arc::clone(&context.config),
            policy: Arc::clone(&context.policy),
            client: context.client.clone(),
            known,
            metrics,
            bodies: Arc::new(Semaphore::new(ALL_BODIES as usize)),
        }
    }

    /// Never fails: an HTTP error is what makes the API server go on without us.
    pub(super) async fn call(self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let subject = match request.uri().path() {
            "/definitions" => Subject::Definition,
            "/pods" => Subject::Pod,
            "/workloads" => Subject::Workload,
            "/pools" => Subject::Pool,
            _ => {
                return Ok(plain(
                    StatusCode::NOT_FOUND,
                    "reviews are answered at `/definitions`, `/pods`, `/workloads` and `/pools`",
                ));
            }
        };
        if request.method() != Method::POST {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "a review is sent with POST"));
        }
        let began = Instant::now();
        let metrics = self.metrics.clone();
        let (answer, ending) = match answered(TIME, self.review(subject, request)).await {
            Ok(answered) => answered,
            Err(why) => {
                tracing::warn!(?subject, %why, "a review is left to the API server");
                let status = match why {
                    NoAnswer::Late => StatusCode::SERVICE_UNAVAILABLE,
                    NoAnswer::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (plain(status, &why.to_string()), Ending::Unanswered)
            }
        };
        metrics.reviewed(subject, ending, began.elapsed());
        Ok(answer)
    }

    async fn review(self, subject: Subject, request: Request<Incoming>) -> (Answer, Ending) {
        let body = match self.body(request).await {
            Ok(body) => body,
            Err(answer) => return (answer, Ending::Unreadable),
        };
        let question = match Question::read(&body.bytes) {
            Ok(question) => question,
            Err(error) => return (plain(StatusCode::BAD_REQUEST, &error.to_string()), Ending::Unreadable),
        };
        let verdict = self.verdict(subject, &question).await;
        (reviewed(&question.uid, &verdict), ending(&verdict))
    }

    async fn verdict(&self, subject: Subject, question: &Question) -> Verdict {
        match subject {
            Subject::Definition => definition::review(question, &self.config, &self.policy),
            Subject::Workload => workload::review(question),
            Subject::Pool => pool::review(question, &self.client).await,
            Subject::Pod => {
                pod::review(question, &self.policy, self.config.admission.missing_network, &self.known).await
            }
        }
    }

    /// The whole body. It takes room as it arrives, so that who announces much and sends nothing keeps nobody out.
    async fn body(&self, request: Request<Incoming>) -> Result<Read, Answer> {
        let too_large = || plain(StatusCode::PAYLOAD_TOO_LARGE, "a review has at most 3 MiB");
        let most = usize::try_from(MOST_BYTES).map_err(|_| too_large())?;
        if request.body().size_hint().lower() > MOST_BYTES {
            return Err(too_large());
        }
        let (mut body, mut read) = (request.into_body(), Read { bytes: Vec::new(), room: None });
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|e| plain(StatusCode::BAD_REQUEST, &format!("the body ends early: {e}")))?;
            let Ok(bytes) = frame.into_data() else { continue };
            if read.bytes.len() + bytes.len() > most {
                return Err(too_large());
            }
            self.make_room(&mut read, bytes.len()).await?;
            read.bytes.extend_from_slice(&bytes);
        }
        Ok(read)
    }

    async fn make_room(&self, read: &mut Read, more: usize) -> Result<(), Answer> {
        let ends = || plain(StatusCode::SERVICE_UNAVAILABLE, "the webhook ends");
        let has = read.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needs = (read.bytes.len() + more).div_ceil(1024).saturating_sub(has);
        let needs = u32::try_from(needs).map_err(|_| ends())?;
        let room = Arc::clone(&self.bodies).acquire_many_owned(needs).await.map_err(|_| ends())?;
        match &mut read.room {
            Some(all) => all.merge(room),
            none => *none = Some(room),
        }
        Ok(())
    }
}

/// A body, and the room it takes for as long as it is there.
struct Read {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

fn ending(verdict: &Verdict) -> Ending {
    match (&verdict.refusal, verdict.warnings.is_empty()) {
        (Some(_), _) => Ending::Refused,
        (None, true) => Ending::Allowed,
        (None, false) => Ending::Warned,
    }
}

fn reviewed(uid: &str, verdict: &Verdict) -> Answer {
    let mut response = Response::new(Full::from(answer(uid, verdict)));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn plain(status: StatusCode, sentence: &str) -> Answer {
    let mut response = Response::new(Full::from(sentence.to_owned()));
    *response.status_mut() = status;
    response
}
