//! Definitions as the API server has them, beside the types of `manifold_crds`.
//!
//! They are watched as objects without a fixed shape, so that one malformed definition is one error and not the end of
//! the watch (F-CTL-4).

use std::sync::Arc;

use kube::Api;
use kube::Client;
use kube::api::{ApiResource, DynamicObject};
use manifold_cni::name::printable;
use manifold_crds::nad_status::CONFIGURATION;
use manifold_crds::{Nad, NadRef, NadStatus, keys};
use serde_json::value::RawValue;

use crate::feed::{Source, Trouble};

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

/// All of them, to be followed.
pub(crate) fn source(told: impl Fn(Trouble) + Send + Sync + 'static) -> Source {
    Source {
        resource: keys::PLURAL,
        path: format!("/apis/{}/{}/{}", keys::GROUP, keys::VERSION, keys::PLURAL),
        fields: None,
        labels: None,
        metadata_only: false,
        told: Arc::new(told),
    }
}

/// Annotations of a definition that are kept by their name alone, for a slip in it is told.
const NAMES_MOST: usize = 32;
/// Longer than any key of an annotation, and than the two values that count.
const TEXT_MOST_BYTES: usize = 512;
/// Of all finalizers of one definition.
const FINALIZERS_MOST_BYTES: usize = 16 << 10;

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
#[error("`{reference}` cannot be read: {why}")]
pub struct Malformed {
    pub reference: String,
    pub why: String,
}

/// The name of an object of which nothing else can be read, so that somebody finds it.
pub(crate) fn unreadable(raw: &RawValue, why: &serde_json::Error) -> Malformed {
    let object: serde_json::Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let text = |key: &str| {
        let value = object.get("metadata").and_then(|m| m.get(key)).and_then(|v| v.as_str());
        printable(value.unwrap_or("?"))
    };
    Malformed { reference: format!("{}/{}", text("namespace"), text("name")), why: why.to_string() }
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

    /// Without what nobody asks for: its author may write a megabyte of annotations.
    pub fn trimmed(mut self) -> Result<Self, Malformed> {
        let bytes: usize = self.nad.finalizers.iter().map(String::len).sum();
        if bytes > FINALIZERS_MOST_BYTES {
            let why = format!("its finalizers have {bytes} bytes, and {FINALIZERS_MOST_BYTES} are read");
            return Err(Malformed { reference: self.nad.reference.to_string(), why });
        }
        let mut names = 0;
        self.nad.annotations.retain(|key, value| {
            let counts = [keys::RESOURCE_NAME, CONFIGURATION].contains(&key.as_str());
            match counts {
                true => cut(value, TEXT_MOST_BYTES),
                false => cut(value, 0),
            }
            names += usize::from(!counts);
            counts || (names <= NAMES_MOST && key.len() <= TEXT_MOST_BYTES)
        });
        Ok(self)
    }

    pub fn reference(&self) -> &NadRef {
        &self.nad.reference
    }

    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.nad.finalizers.iter().any(|f| f == finalizer)
    }
}

/// No more bytes than these, and no half of a character.
pub(crate) fn cut(text: &mut String, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Proves: F-CTL-9
    #[test]
    fn of_a_definition_only_what_counts_is_kept() {
        let mut annotations: serde_json::Map<String, serde_json::Value> =
            (0..1000).map(|n| (format!("note-{n}"), json!("x".repeat(1000)))).collect();
        annotations.insert(keys::RESOURCE_NAME.to_owned(), json!("vendor.example/vf"));
        annotations.insert(CONFIGURATION.to_owned(), json!("ä".repeat(100_000)));
        let mut object = json!({
            "metadata": {"name": "a", "namespace": "b", "annotations": annotations, "finalizers": ["x/y"]},
            "spec": {"config": "{}"},
        });
        let read = |object: &serde_json::Value| {
            Definition::read(&serde_json::from_value(object.clone()).unwrap()).unwrap().trimmed()
        };
        let nad = read(&object).unwrap().nad;
        assert_eq!(nad.resource_name().unwrap().unwrap().as_str(), "vendor.example/vf");
        assert_eq!((nad.config.as_deref(), &*nad.finalizers), (Some("{}"), &["x/y".to_owned()][..]));
        let bytes: usize = nad.annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
        assert!(nad.annotations.len() <= NAMES_MOST + 2 && bytes < 2_000, "{bytes}");
        object["metadata"]["finalizers"] = json!(vec!["example.com/finalizer"; 1000]);
        assert!(read(&object).unwrap_err().to_string().contains("`b/a`"));
    }
}
