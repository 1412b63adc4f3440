//! The API server as a source: the only module that touches `kube`.
//!
//! Nothing is read and no connection is opened before the first call; then one connection serves the whole ADD, and
//! all definitions are asked for on it at the same time. Every call is bounded by its deadline, every answer in size.
//! What can pass (no answer, garbage, 429, 5xx) is tried again with jitter until the deadline; what cannot (403, a
//! certificate that is not valid) ends at once. Server certificates are always verified: there is no switch.

pub mod addresses;
mod ask;
mod call;
mod connection;
mod credentials;
mod event_loop;
mod token;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manifold_address_store::Claims;
use manifold_crds::keys::NETWORK_STATUS;
use serde::Deserialize;

use super::{Annotations, Kind, Nad, NadRef, Pod, PodRef, Published, Source, SourceError};
use crate::config::Limits;
use ask::{Answer, Ask};
use call::{Session, Setback};
pub use credentials::{ClusterEnvironment, Credentials};

/// At most this long for one request, its answer read to the end.
const PER_CALL: Duration = Duration::from_secs(5);

pub struct Kubernetes {
    credentials: Credentials,
    state_dir: PathBuf,
    session: Option<Session>,
}

impl Kubernetes {
    /// `state_dir` is where the mark is left that the token is refused.
    pub fn new(credentials: Credentials, state_dir: &Path) -> Self {
        Self { credentials, state_dir: state_dir.to_owned(), session: None }
    }

    fn session(&mut self) -> Result<&Session, SourceError> {
        if self.session.is_none() {
            self.session = Some(Session::open(&self.credentials, &self.state_dir)?);
        }
        Ok(self.session.as_ref().expect("it was just set"))
    }
}

/// Says where it would connect and nothing of how (S-2).
impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl Source for Kubernetes {
    fn pod(&mut self, who: &PodRef, deadline: Instant) -> Result<Pod, SourceError> {
        let deadline = within(deadline, Limits::API);
        let session = self.session()?;
        let ask = Ask::pod(who);
        session.run(session.call(&ask, deadline, |answer| read_pod(who, &ask, answer)))
    }

    fn definitions(&mut self, refs: &[NadRef], deadline: Instant) -> Result<Vec<Option<Nad>>, SourceError> {
        // A network that a pod has twice is asked for once.
        let mut wanted: Vec<&NadRef> = refs.iter().collect();
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = within(deadline, Limits::API);
        let session = self.session()?;
        let asks: Vec<Ask> = wanted.iter().map(|nad| Ask::definition(nad)).collect();
        let calls = wanted
            .iter()
            .zip(&asks)
            .map(|(nad, ask)| session.call(ask, deadline, move |answer| read_definition(nad, ask, answer)));
        let found = session.run(futures::future::try_join_all(calls))?;
        let of =
            |nad: &NadRef| wanted.binary_search(&nad).ok().and_then(|at| found.get(at).cloned()).flatten();
        Ok(refs.iter().map(of).collect())
    }

    fn publish(
        &mut self,
        who: &PodRef,
        status_json: &str,
        deadline: Instant,
    ) -> Result<Published, SourceError> {
        let deadline = within(deadline, Limits::PUBLISH);
        let session = self.session()?;
        let ask = Ask::status(who, NETWORK_STATUS, status_json);
        session.run(session.call(&ask, deadline, |answer| read_published(who, &ask, answer)))
    }

    fn claims(&mut self) -> Option<&mut (dyn Claims + 'static)> {
        Some(self)
    }
}

fn within(deadline: Instant, most: Duration) -> Instant {
    deadline.min(Instant::now() + most)
}

fn read_pod(who: &PodRef, ask: &Ask, answer: &Answer) -> Result<Pod, Setback> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        namespace: String,
        name: String,
        uid: String,
        #[serde(default)]
        annotations: Annotations,
    }
    if answer.status == 404 {
        let what = format!(
            "pod `{who}` is not at the API server; nothing was attached, \
             and the runtime retries for as long as the kubelet wants the pod"
        );
        return Err(SourceError::new(Kind::NotFound, what).into());
    }
    answer.ok(ask)?;
    let object: Object = serde_json::from_slice(&answer.body).map_err(|e| ask.garbage(&e))?;
    let Metadata { namespace, name, uid, annotations } = object.metadata;
    if namespace != who.namespace.as_str() || name != who.name.as_str() {
        return Err(ask.garbage(&"it is about another object").into());
    }
    Ok(Pod { namespace, name, uid, annotations })
}

fn read_definition(wanted: &NadRef, ask: &Ask, answer: &Answer) -> Result<Option<Nad>, Setback> {
    if answer.status == 404 {
        // Only the object is missing when the answer names it; else the whole resource is.
        let status = answer.kubernetes_status();
        let names_it = status.and_then(|s| s.details).is_some_and(|d| d.name == wanted.name.as_str());
        return if names_it { Ok(None) } else { Err(no_resource(ask).into()) };
    }
    answer.ok(ask)?;
    let nad = Nad::from_json(&answer.body).map_err(|e| ask.garbage(&e))?;
    if nad.reference != *wanted {
        return Err(ask.garbage(&"it is about another object").into());
    }
    Ok(Some(nad))
}

fn no_resource(ask: &Ask) -> SourceError {
    let what = format!(
        "the API server does not know the resource `{}` of group `{}`; \
         apply the CustomResourceDefinition, or wait until the controller has",
        ask.resource, ask.group
    );
    SourceError::new(Kind::NotFound, what)
}

fn read_published(who: &PodRef, ask: &Ask, answer: &Answer) -> Result<Published, Setback> {
    let gone = |why: String| Ok(Published::Superseded(why));
    match answer.status {
        404 => gone(format!("pod `{who}` is gone")),
        409 | 422 if answer.other_uid() => gone(format!("pod `{who}` was replaced by another of its name")),
        // Another writer was faster: the API server itself has repeated the patch and given up.
        409 => {
            let said = answer.message();
            let what = format!(
                "the API server could not merge the status of pod `{who}`: {said}; it is published later"
            );
            Err(SourceError::new(Kind::Throttled, what).into())
        }
        _ => {
            answer.ok(ask)?;
            Ok(Published::Done)
        }
    }
}

#[cfg(test)]
mod tests;
