//! One PATCH of one annotation of one pod, and what its answer means.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use kube::Client;
use manifold_crds::keys::NETWORK_STATUS;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::late::Late;

const ANSWER: Duration = Duration::from_secs(5);
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// By which the API server's mirror of a static pod names what it mirrors.
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// What became of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    Published,
    /// The pod is gone, or another of its name is there.
    Superseded,
    /// The token is not taken.
    Refused,
    /// Worth another try: why.
    Later(String),
}

/// Publishes it in the name that the client speaks in.
pub async fn publish(client: &Client, one: &Late) -> Patched {
    let (kind, body) = body(one);
    let path =
        format!("/api/v1/namespaces/{}/pods/{}/status?fieldManager=manifold-shim", one.namespace, one.name);
    let request = http::Request::patch(path)
        .header(CONTENT_TYPE, kind)
        .header(ACCEPT, METADATA)
        .body(body.to_string().into_bytes());
    let request = match request {
        Ok(request) => request,
        Err(why) => return Patched::Later(why.to_string()),
    };
    match timeout(ANSWER, client.request::<IgnoredAny>(request)).await {
        Ok(Ok(_)) => Patched::Published,
        Ok(Err(error)) => judge(&error, one.is_static),
        Err(_) => Patched::Later("no answer in time".to_owned()),
    }
}

/// The UID makes the server refuse a pod that was replaced; a static pod's mirror is known by the hash that it carries.
fn body(one: &Late) -> (&'static str, Value) {
    if !one.is_static {
        let patch = json!({"metadata": {"uid": one.uid, "annotations": {NETWORK_STATUS: one.text}}});
        return ("application/merge-patch+json", patch);
    }
    let place = format!("/metadata/annotations/{}", NETWORK_STATUS.replace('/', "~1"));
    let patch = json!([
        {"op": "test", "path": MIRROR, "value": one.uid},
        {"op": "add", "path": place, "value": one.text},
    ]);
    ("application/json-patch+json", patch)
}

fn judge(error: &kube::Error, is_static: bool) -> Patched {
    let kube::Error::Api(status) = error else { return Patched::Later(error.to_string()) };
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    let other = causes.iter().any(|cause| cause.field == "metadata.uid")
        || status.message.contains("UID in precondition");
    match status.code {
        401 => Patched::Refused,
        // The mirror comes when the kubelet has reached the server.
        404 | 422 if is_static => Patched::Later(format!("its mirror is not there yet ({})", status.message)),
        404 => Patched::Superseded,
        409 | 422 if other => Patched::Superseded,
        _ => Patched::Later(status.message.clone()),
    }
}
