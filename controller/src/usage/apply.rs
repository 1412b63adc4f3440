//! Writes what was decided about one definition: the finalizer first, then the status. It decides nothing.
//!
//! The finalizer goes by a merge patch that carries UID and resourceVersion, so it is only ever changed on the object that
//! was looked at. The status goes by server-side apply, of our fields alone.

use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use manifold_crds::NadRef;
use manifold_crds::keys;
use manifold_crds::nad_status::{IN_USE_FINALIZER, NadStatus};
use serde_json::{Value, json};

use crate::cluster::term::Term;
use crate::objects::{self, Definition, FIELD_MANAGER};
use crate::usage::decide::{Decision, Finalizer};
use crate::usage::metrics::{Metrics, Outcome, Part};

/// A request without an answer by then is made again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a definition.
#[derive(Debug)]
pub(super) enum Applied {
    /// As it is now. `None`: it was let go by the last write.
    Written(Option<Box<DynamicObject>>),
    /// Somebody changed it in between; this is it now, or it is another object.
    Stale(Option<Box<DynamicObject>>),
    Failed(String),
    Refused(String),
    /// We may not write any more.
    TermOver,
}

/// The hands that write.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) client: ClientOf,
    pub(super) term: Term,
    pub(super) metrics: Metrics,
}

/// A client that can be printed.
#[derive(Clone)]
pub(super) struct ClientOf(pub(super) Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Writer {
    pub(super) async fn write(&self, definition: Definition, decision: Decision) -> Applied {
        let reference = definition.reference().clone();
        let mut object = None;
        if decision.finalizer != Finalizer::Keep {
            let patch = finalizers(&definition, decision.finalizer);
            match self.send(&reference, Part::Finalizer, &patch).await {
                Ok(written) => object = Some(written),
                Err(ended) => return ended,
            }
            if decision.finalizer == Finalizer::Remove && is_let_go(&definition) {
                return Applied::Written(None);
            }
        }
        if let Some(status) = &decision.status {
            let patch = status_of(&definition, status);
            match self.send(&reference, Part::Status, &patch).await {
                Ok(written) => object = Some(written),
                Err(ended) => return ended,
            }
        }
        Applied::Written(object)
    }

    async fn send(
        &self,
        reference: &NadRef,
        part: Part,
        patch: &Value,
    ) -> Result<Box<DynamicObject>, Applied> {
        if !self.term.holds() {
            return Err(Applied::TermOver);
        }
        let api = objects::of_namespace(self.client.0.clone(), reference.namespace.as_str());
        let name = reference.name.as_str();
        let patched = async {
            match part {
                Part::Finalizer => {
                    let manager = Some(FIELD_MANAGER.to_owned());
                    let params = PatchParams { field_manager: manager, ..PatchParams::default() };
                    api.patch(name, &params, &Patch::Merge(patch)).await
                }
                Part::Status => {
                    let params = PatchParams::apply(FIELD_MANAGER).force();
                    api.patch_status(name, &params, &Patch::Apply(patch)).await
                }
            }
        };
        let Ok(sent) = tokio::time::timeout(PATIENCE, patched).await else {
            self.metrics.wrote(part, Outcome::Failed);
            return Err(Applied::Failed(format!("no answer in {PATIENCE:?}")));
        };
        let (outcome, ended) = match sent {
            Ok(object) => (Outcome::Written, Ok(Box::new(object))),
            Err(error) => {
                let (outcome, ended) = self.explain(reference, error).await;
                (outcome, Err(ended))
            }
        };
        self.metrics.wrote(part, outcome);
        ended
    }

    async fn explain(&self, reference: &NadRef, error: kube::Error) -> (Outcome, Applied) {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        let why = || error.to_string();
        match code {
            409 => (Outcome::Conflict, self.read_again(reference).await),
            422 if is_another_object(&error) => (Outcome::Conflict, self.read_again(reference).await),
            404 => match self.read_again(reference).await {
                // The object is there, but what we write to is not: the CRD is being restored.
                Applied::Stale(Some(_)) => (Outcome::Failed, Applied::Failed(why())),
                ended => (Outcome::Gone, ended),
            },
            400 | 403 | 413 | 415 | 422 => (Outcome::Refused, Applied::Refused(why())),
            _ => (Outcome::Failed, Applied::Failed(why())),
        }
    }

    async fn read_again(&self, reference: &NadRef) -> Applied {
        let api = objects::of_namespace(self.client.0.clone(), reference.namespace.as_str());
        match tokio::time::timeout(PATIENCE, api.get_opt(reference.name.as_str())).await {
            Ok(Ok(object)) => Applied::Stale(object.map(Box::new)),
            Ok(Err(error)) => Applied::Failed(error.to_string()),
            Err(_) => Applied::Failed(format!("no answer in {PATIENCE:?}")),
        }
    }
}

/// The name now belongs to a definition with another UID.
fn is_another_object(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.field == "metadata.uid"))
}

/// Ours was the last finalizer. One that others keep is still there, and its status is to be told.
fn is_let_go(definition: &Definition) -> bool {
    definition.nad.is_terminating() && definition.nad.finalizers.iter().all(|f| f == IN_USE_FINALIZER)
}

fn finalizers(definition: &Definition, change: Finalizer) -> Value {
    let others = definition.nad.finalizers.iter().filter(|f| *f != IN_USE_FINALIZER);
    let mut finalizers: Vec<&str> = others.map(String::as_str).collect();
    if change == Finalizer::Add {
        finalizers.push(IN_USE_FINALIZER);
    }
    json!({"metadata": {
        "uid": definition.uid,
        "resourceVersion": definition.resource_version,
        "finalizers": finalizers,
    }})
}

fn status_of(definition: &Definition, status: &NadStatus) -> Value {
    let reference = definition.reference();
    json!({
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND,
        // With the UID, so that a definition that was made anew under this name does not get the old one's status.
        "metadata": {"namespace": reference.namespace, "name": reference.name, "uid": definition.uid},
        "status": explicit(status, &definition.status),
    })
}

/// What is left out stays where somebody else once wrote it, so a list that was there and is empty now says so.
fn explicit(status: &NadStatus, old: &NadStatus) -> Value {
    let mut value = json!(status);
    let emptied = [
        ("podNames", !old.pod_names.is_empty() && status.pod_names.is_empty()),
        ("republish", !old.republish.is_empty() && status.republish.is_empty()),
    ];
    if let Some(fields) = value.as_object_mut() {
        fields
            .extend(emptied.into_iter().filter(|(_, yes)| *yes).map(|(key, _)| (key.to_owned(), json!([]))));
    }
    value
}
