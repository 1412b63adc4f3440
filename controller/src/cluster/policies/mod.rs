//! Whether the admission policies, their bindings and the webhook configuration are there and say what they should.
//!
//! The controller may read them and no more: who could write policies could undo every promise of theirs. So what is missing
//! is told, on the default network's definition, as a metric and as an event, and mended by whoever installed it.

mod condition;
mod expected;
mod look;

use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use manifold_crds::nad_status::{Condition, NadStatus};
use manifold_crds::{NadRef, keys};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::context::{Context, Stop};
use crate::events::{About, Reason, Severity};
use crate::objects;

pub use condition::{CONDITION, Findings};
pub use expected::{Expected, expected};

use super::metrics::Metrics;
use super::term::Term;

/// The status has other writers with other fields; under a name of its own this one owns nothing but its condition.
const MANAGER: &str = "manifold-controller-policies";

/// Returns when the term or the process ends.
pub async fn watch(context: Context, metrics: Metrics, term: Term, mut stop: Stop) {
    let expected = match expected(&context.config) {
        Ok(expected) => expected,
        Err(error) => return tracing::error!("the policies of this release cannot be read: {error:#}"),
    };
    let every = Duration::from_secs(context.config.policies.check_seconds.into());
    let look = async {
        loop {
            if let Err(error) = round(&context, &metrics, &expected, &term).await {
                tracing::warn!("the policies cannot be read: {error}");
            }
            sleep(every).await;
        }
    };
    let mut over = term.clone();
    tokio::select! {
        () = over.ended() => {}
        () = stop.asked() => {}
        () = look => {}
    }
}

async fn round(
    context: &Context,
    metrics: &Metrics,
    expected: &[Expected],
    term: &Term,
) -> Result<(), kube::Error> {
    let findings = look::look(&context.client, expected).await?;
    metrics.not_in_place(|guard, state| findings.count(guard, state));
    let config = &context.config;
    let api = objects::of_namespace(context.client.clone(), &config.namespace);
    let Some(object) = api.get_opt(&config.default_network.name).await? else { return Ok(()) };
    let before = condition_of(&object);
    let Some(now) = findings.condition(before.as_ref(), object.metadata.generation) else { return Ok(()) };
    if !term.holds() {
        return Ok(());
    }
    write(&api, &object, &now).await?;
    tell(context, &object, &now).await;
    Ok(())
}

fn condition_of(object: &DynamicObject) -> Option<Condition> {
    let status: NadStatus = serde_json::from_value(object.data.get("status")?.clone()).unwrap_or_default();
    status.condition(CONDITION).cloned()
}

async fn write(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    condition: &Condition,
) -> Result<(), kube::Error> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND,
        "metadata": {"name": name, "uid": object.metadata.uid},
        "status": {"conditions": [condition]},
    });
    let how = PatchParams::apply(MANAGER).force();
    match timeout(Duration::from_secs(10), api.patch_status(name, &how, &Patch::Apply(&patch))).await {
        Ok(written) => written.map(drop),
        // The next round sees what became of it.
        Err(_) => Ok(()),
    }
}

async fn tell(context: &Context, object: &DynamicObject, now: &Condition) {
    if now.status == "True" {
        return;
    }
    tracing::warn!("{}", now.message);
    let config = &context.config;
    let Ok(reference) = NadRef::new(&config.namespace, &config.default_network.name) else { return };
    let about = About::Definition { reference, uid: object.metadata.uid.clone().unwrap_or_default() };
    context.events.tell(&about, Severity::Warning, Reason::PolicyMissing, &now.message).await;
}
