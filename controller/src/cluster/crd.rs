//! The CustomResourceDefinitions of this release: applied at the start, restored when somebody changes or deletes them.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::events::{About, Events, Reason, Severity};
use crate::objects::FIELD_MANAGER;

use super::drift;
use super::keep::Kept;
use super::metrics::Kind;

pub struct Crd {
    client: Client,
    events: Events,
    wanted: Value,
    established: watch::Sender<bool>,
}

impl std::fmt::Debug for Crd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Crd")
    }
}

pub fn resource() -> ApiResource {
    ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    }
}

/// Each as it has to be stored.
pub fn all() -> [Value; 3] {
    use manifold_crds::{crd, ipam};
    [crd::definition(), ipam::crd::block_definition(), ipam::crd::pool_definition()]
}

pub fn name(definition: &Value) -> &str {
    definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the API server serves what the CRD describes.
pub fn is_established(object: &DynamicObject) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| {
        c.get("type").and_then(Value::as_str) == Some("Established")
            && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

impl Crd {
    /// The receiver turns true when objects of this resource can be read and written.
    pub fn new(wanted: Value, client: Client, events: Events) -> (Self, watch::Receiver<bool>) {
        let (established, receiver) = watch::channel(false);
        (Self { client, events, wanted, established }, receiver)
    }
}

impl Kept for Crd {
    const KIND: Kind = Kind::Crd;

    fn api(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource())
    }

    fn name(&self) -> &str {
        name(&self.wanted)
    }

    fn wrong(&self, live: Option<&DynamicObject>) -> Option<String> {
        let Some(live) = live else { return Some("it does not exist".to_owned()) };
        if live.metadata.deletion_timestamp.is_some() {
            // It cannot be called back. It goes when its last object has gone, and is made anew then.
            return None;
        }
        let stored = comparable(live.data.get("spec").unwrap_or(&Value::Null));
        let wanted = comparable(self.wanted.get("spec").unwrap_or(&Value::Null));
        drift::place(&wanted, &stored).map(|place| format!("`spec.{place}` was changed"))
    }

    async fn mend(&self, _live: Option<&DynamicObject>) -> Result<Option<DynamicObject>, kube::Error> {
        let how = PatchParams::apply(FIELD_MANAGER).force();
        self.api().patch(self.name(), &how, &Patch::Apply(&self.wanted)).await.map(Some)
    }

    async fn mended(&self, now: &DynamicObject, wrong: &str) {
        let about =
            About::Crd { name: self.name().to_owned(), uid: now.metadata.uid.clone().unwrap_or_default() };
        let sentence = format!("restored because {wrong}; leave this resource to Manifold");
        self.events.tell(&about, Severity::Warning, Reason::CrdRestored, &sentence).await;
    }

    fn seen(&self, live: Option<&DynamicObject>) {
        if let Some(live) = live.filter(|l| l.metadata.deletion_timestamp.is_some()) {
            tracing::warn!(
                "`{}` is being deleted and will be created again",
                live.metadata.name.as_deref().unwrap_or_default()
            );
        }
        self.established.send_replace(live.is_some_and(is_established));
    }
}

/// Without the names that the server derives from others.
fn comparable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let derived =
        spec.pointer("/names/kind").and_then(Value::as_str).map(|kind| json!(format!("{kind}List")));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
        && names.get("listKind") == derived.as_ref()
    {
        names.remove("listKind");
    }
    spec
}
