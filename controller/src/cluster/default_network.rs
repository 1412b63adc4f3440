//! The definition of the default network: kept as the configuration says, whoever edits or deletes it.

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use manifold_crds::nad_status::{CONFIGURATION, IN_USE_FINALIZER};
use manifold_crds::{NadRef, keys};
use serde_json::{Value, json};

use crate::config::{BUILT_IN, Config, DefaultSource};
use crate::events::{About, Events, Reason, Severity};
use crate::objects::{self, FIELD_MANAGER};

use super::keep::Kept;
use super::metrics::Kind;

pub struct DefaultNetwork {
    client: Client,
    events: Events,
    namespace: String,
    name: String,
    /// The name of the configuration on the nodes.
    configuration: Option<String>,
}

impl std::fmt::Debug for DefaultNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DefaultNetwork({}/{})", self.namespace, self.name)
    }
}

impl DefaultNetwork {
    /// `None`: somebody else keeps it.
    pub fn new(client: Client, events: Events, config: &Config) -> Option<Self> {
        let default = &config.default_network;
        let configuration = match default.source {
            DefaultSource::Existing => default.configuration.clone(),
            DefaultSource::BuiltIn => Some(BUILT_IN.to_owned()),
            DefaultSource::Unmanaged => return None,
        };
        let (namespace, name) = (config.namespace.clone(), default.name.clone());
        Some(Self { client, events, namespace, name, configuration })
    }

    fn wanted(&self) -> Value {
        let annotations: Value = match &self.configuration {
            Some(name) => json!({CONFIGURATION: name}),
            None => json!({}),
        };
        json!({
            "apiVersion": keys::API_VERSION,
            "kind": keys::KIND,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "annotations": annotations,
            },
        })
    }

    /// Deleted while pods use it, it would be on its way out for as long as there are pods, and nobody could refer to it.
    /// Without the finalizer it is gone at once, and made anew in the same moment; the finalizer comes back with it.
    async fn let_go(&self, live: &DynamicObject) -> Result<(), kube::Error> {
        let meta = &live.metadata;
        let others: Vec<&String> =
            meta.finalizers.iter().flatten().filter(|f| *f != IN_USE_FINALIZER).collect();
        let patch = json!({"metadata": {
            "uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": others,
        }});
        self.api().patch(&self.name, &manager(), &Patch::Merge(&patch)).await.map(drop)
    }

    /// Server-side apply leaves alone what somebody else added.
    async fn take_out(&self, live: &DynamicObject) -> Result<DynamicObject, kube::Error> {
        let meta = &live.metadata;
        let metadata = json!({
            "uid": meta.uid, "resourceVersion": meta.resource_version,
            "annotations": {CONFIGURATION: self.configuration},
        });
        let patch = match has_config(live) {
            true => json!({"metadata": metadata, "spec": {"config": null}}),
            false => json!({"metadata": metadata}),
        };
        self.api().patch(&self.name, &manager(), &Patch::Merge(&patch)).await
    }

    /// Each node takes the first configuration of its folder, and the definition names one.
    fn names_too_much(&self, live: &DynamicObject) -> bool {
        self.configuration.is_none() && named(live).is_some()
    }
}

impl Kept for DefaultNetwork {
    const KIND: Kind = Kind::DefaultNetwork;

    fn api(&self) -> Api<DynamicObject> {
        objects::of_namespace(self.client.clone(), &self.namespace)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn wrong(&self, live: Option<&DynamicObject>) -> Option<String> {
        let Some(live) = live else { return Some("it does not exist".to_owned()) };
        let meta = &live.metadata;
        if meta.deletion_timestamp.is_some() {
            let kept = meta.finalizers.iter().flatten().any(|f| f == IN_USE_FINALIZER);
            return kept.then(|| "it was deleted while pods use it".to_owned());
        }
        if has_config(live) {
            return Some("`spec.config` was added".to_owned());
        }
        match &self.configuration {
            Some(wanted) => (named(live) != Some(wanted))
                .then(|| format!("the annotation `{CONFIGURATION}` is not `{wanted}`")),
            // It may be that of a `source` or `configuration` of before.
            None => named(live)
                .map(|name| format!("the annotation `{CONFIGURATION}` is `{name}`, but must not be set")),
        }
    }

    async fn mend(&self, live: Option<&DynamicObject>) -> Result<Option<DynamicObject>, kube::Error> {
        if let Some(going) = live.filter(|l| l.metadata.deletion_timestamp.is_some()) {
            self.let_go(going).await?;
        }
        let how = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api().patch(&self.name, &how, &Patch::Apply(&self.wanted())).await?;
        match has_config(&applied) || self.names_too_much(&applied) {
            true => self.take_out(&applied).await.map(Some),
            false => Ok(Some(applied)),
        }
    }

    async fn mended(&self, now: &DynamicObject, wrong: &str) {
        let (Ok(namespace), Ok(name)) = (self.namespace.parse(), self.name.parse()) else { return };
        let reference = NadRef { namespace, name };
        let about = About::Definition { reference, uid: now.metadata.uid.clone().unwrap_or_default() };
        let sentence = format!(
            "restored because {wrong}; change `defaultNetwork` in the controller's configuration instead"
        );
        self.events.tell(&about, Severity::Warning, Reason::DefaultNetworkRestored, &sentence).await;
    }
}

/// The configuration of the nodes that it stands for.
fn named(object: &DynamicObject) -> Option<&String> {
    object.metadata.annotations.as_ref()?.get(CONFIGURATION)
}

fn has_config(object: &DynamicObject) -> bool {
    object.data.pointer("/spec/config").is_some_and(|c| !c.is_null())
}

fn manager() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
