//! Definitions as the API server has them, beside the types of `manifold_crds`.
//!
//! They are watched as objects without a fixed shape, so that one malformed definition is one error and not the end of
//! the watch (F-CTL-4).

use kube::Api;
use kube::Client;
use kube::api::{ApiResource, DynamicObject};
use manifold_crds::{Nad, NadRef, NadStatus, keys};

/// How server-side apply calls us. One name, so that whatever we set and no longer set goes.
pub const FIELD_MANAGER: &str = "manifold-controller";

/// The resource of definitions.
pub fn resource() -> ApiResource {
    ApiResource {
        group: keys::GROUP.to_owned(),
        version: keys::VERSION.to_owned(),
        api_version: keys::API_VERSION.to_owned(),
        kind: keys::KIND.to_owned(),
        plural: keys::PLURAL.to_owned(),
    }
}

pub fn all(client: Client) -> Api<DynamicObject> {
    Api::all_with(client, &resource())
}

pub fn of_namespace(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &resource())
}

/// A definition, and what the controller said of it last.
#[derive(Clone, Debug)]
pub struct Definition {
    pub nad: Nad,
    pub uid: String,
    pub generation: Option<i64>,
    pub resource_version: String,
    pub status: NadStatus,
}

/// An object that is no definition although it is stored as one.
#[derive(Debug, thiserror::Error)]
#[error("definition `{reference}` cannot be read: {why}")]
pub struct Malformed {
    pub reference: String,
    pub why: String,
}

impl Definition {
    pub fn read(object: &DynamicObject) -> Result<Self, Malformed> {
        let meta = &object.metadata;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let malformed = |why: String| Malformed {
            reference: format!("{}/{}", text(&meta.namespace), text(&meta.name)),
            why,
        };
        let value = serde_json::to_value(object).map_err(|e| malformed(e.to_string()))?;
        let status = value.get("status").filter(|s| !s.is_null()).cloned().unwrap_or_default();
        let nad: Nad = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            nad,
            uid: text(&meta.uid),
            generation: meta.generation,
            resource_version: text(&meta.resource_version),
            // What cannot be read is written anew.
            status: serde_json::from_value(status).unwrap_or_default(),
        })
    }

    pub fn reference(&self) -> &NadRef {
        &self.nad.reference
    }

    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.nad.finalizers.iter().any(|f| f == finalizer)
    }
}
