//! One call, within its deadline: sent, judged, and tried again where that can help.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::{Body, ConfigExt};
use tower::Layer;

use super::super::{Kind, SourceError};
use super::PER_CALL;
use super::ask::{Answer, Ask};
use super::connection::Connection;
use super::credentials::Credentials;
use super::event_loop::EventLoop;
use super::token::{Token, mark_refused};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why an attempt failed, and how long the server wants us to wait.
pub(super) struct Setback {
    pub(super) error: SourceError,
    pub(super) wait: Option<Duration>,
}

impl From<SourceError> for Setback {
    fn from(error: SourceError) -> Self {
        Self { error, wait: None }
    }
}

impl Setback {
    fn may_pass(&self) -> bool {
        self.error.kind == Kind::Unreachable || self.was_answered()
    }

    /// The server did say something.
    fn was_answered(&self) -> bool {
        matches!(self.error.kind, Kind::Throttled | Kind::Malformed | Kind::TooLarge)
    }
}

/// What stays open from the first call of a process to its last.
pub(super) struct Session {
    event_loop: EventLoop,
    client: Client,
    connection: Connection,
    server: String,
    // One thread: calls take turns between their waits.
    token: RefCell<Token>,
    state_dir: PathBuf,
}

impl Session {
    pub(super) fn open(credentials: &Credentials, state_dir: &Path) -> Result<Self, SourceError> {
        let (config, from) = credentials.load()?;
        let token = RefCell::new(Token::load(from)?);
        let unusable = |why: &dyn std::fmt::Display| {
            let what = format!(
                "the certificates for the API server cannot be used ({why}); write the kubeconfig again"
            );
            SourceError::new(Kind::Credentials, what)
        };
        let connection = Connection::new(&config).map_err(|e| unusable(&e))?;
        let event_loop = EventLoop::new()?;
        let client = {
            let _inside = event_loop.enter();
            Client::new(config.base_uri_layer().layer(connection.clone()), "default")
        };
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok(Self { event_loop, client, connection, server, token, state_dir: state_dir.to_owned() })
    }

    pub(super) fn run<F: Future>(&self, calls: F) -> F::Output {
        self.event_loop.run(calls)
    }

    /// Asks until `read` has what it wants, the failure is one that stays, or the deadline is near.
    pub(super) async fn call<T>(
        &self,
        ask: &Ask,
        deadline: Instant,
        read: impl Fn(&Answer) -> Result<T, Setback>,
    ) -> Result<T, SourceError> {
        let mut next_wait = FIRST_WAIT;
        let mut answered = None;
        loop {
            let setback = match self.answer(ask, deadline).await.and_then(|answer| read(&answer)) {
                Ok(done) => return Ok(done),
                Err(setback) => setback,
            };
            // Of a server that says "at once" nobody asks again without a pause.
            let wait = setback.wait.unwrap_or_default().max(jitter(next_wait));
            next_wait = (next_wait * 2).min(LONGEST_WAIT);
            if !setback.may_pass() {
                return Err(setback.error);
            }
            if wait >= deadline.saturating_duration_since(Instant::now()) {
                // A wait that ends after the deadline would only hold up the others. And that the last attempt had too
                // little time says less than what the server answered before.
                let earlier = answered.filter(|_| !setback.was_answered());
                return Err(earlier.unwrap_or(setback.error));
            }
            tracing::info!("{}; again in {} ms", setback.error, wait.as_millis());
            answered = if setback.was_answered() { Some(setback.error) } else { answered };
            tokio::time::sleep(wait).await;
        }
    }

    /// One answer. A refused token is read again, and the request repeated, once.
    async fn answer(&self, ask: &Ask, deadline: Instant) -> Result<Answer, Setback> {
        let (answer, generation) = self.send(ask, deadline).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let renewed = self.token.borrow_mut().again(generation);
        if renewed {
            let (answer, _) = self.send(ask, deadline).await?;
            if answer.status != 401 {
                return Ok(answer);
            }
        }
        mark_refused(&self.state_dir);
        Err(ask.unauthorized(&self.server).into())
    }

    async fn send(&self, ask: &Ask, deadline: Instant) -> Result<(Answer, u32), Setback> {
        let mut request = ask.request();
        let generation = {
            let token = self.token.borrow();
            let (bearer, generation) = token.current();
            if let Some(bearer) = bearer {
                request.headers_mut().insert(AUTHORIZATION, bearer.header());
            }
            generation
        };
        let left = deadline.saturating_duration_since(Instant::now()).min(PER_CALL);
        if left.is_zero() {
            return Err(ask.unreachable(&self.server, &"no time is left").into());
        }
        match tokio::time::timeout(left, self.exchange(ask, request)).await {
            Ok(answer) => Ok((answer?, generation)),
            Err(_) => {
                self.connection.abandon();
                let why = format!("none within {:.1} s", left.as_secs_f32());
                Err(ask.unreachable(&self.server, &why).into())
            }
        }
    }

    async fn exchange(&self, ask: &Ask, request: http::Request<Body>) -> Result<Answer, Setback> {
        let answer = self.client.send(request).await.map_err(|e| self.lost(ask, &e))?;
        let (head, body) = answer.into_parts();
        let most = ask.body_most(head.status.is_success());
        let body = if most == 0 { Vec::new() } else { self.body(ask, body, most).await? };
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        Ok(Answer {
            status: StatusCode::as_u16(&head.status),
            retry_after: retry_after.map(Duration::from_secs),
            body,
        })
    }

    async fn body(&self, ask: &Ask, body: Body, most: usize) -> Result<Vec<u8>, Setback> {
        match Limited::new(body, most).collect().await {
            Ok(whole) => Ok(whole.to_bytes().into()),
            Err(e) if e.is::<LengthLimitError>() => Err(ask.too_large().into()),
            Err(e) => Err(self.lost(ask, &*e)),
        }
    }

    /// No answer came. A certificate that is not valid stays so; anything else on the wire may pass.
    fn lost(&self, ask: &Ask, why: &(dyn StdError + 'static)) -> Setback {
        match certificate_fault(why) {
            Some(fault) => {
                let what = format!(
                    "the API server `{}` cannot be trusted ({}); check that the kubeconfig has its certificate \
                     authority and that the clock of this node is right",
                    self.server, fault
                );
                SourceError::new(Kind::Tls, what).into()
            }
            None => ask.unreachable(&self.server, &innermost(why)).into(),
        }
    }
}

/// What rustls says against the server's certificate, or the server against ours, wherever in the chain it stands.
fn certificate_fault(error: &(dyn StdError + 'static)) -> Option<String> {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented, UnsupportedNameType};
    let mut at = Some(error);
    while let Some(e) = at {
        match e.downcast_ref::<rustls::Error>() {
            Some(e @ (InvalidCertificate(_) | NoCertificatesPresented | UnsupportedNameType)) => {
                return Some(e.to_string());
            }
            Some(e @ AlertReceived(alert)) if about_certificates(*alert) => return Some(e.to_string()),
            _ => at = inside(e),
        }
    }
    None
}

fn about_certificates(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::CertificateRequired
    )
}

/// The next cause. An I/O error made from another hides that one from `source`.
fn inside<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let hidden = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    hidden.map(|e| e as &(dyn StdError + 'static)).or_else(|| error.source())
}

/// The first cause says most; those around it only that something failed.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = inside(last) {
        last = next;
    }
    last.to_string()
}

/// Between half and all of it, so that shims that failed together do not come back together.
fn jitter(wait: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let half = wait / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}
