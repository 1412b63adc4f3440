//! What manifests hold: good objects, and broken ones with the name of the object that they would be.

use std::path::{Path, PathBuf};

use manifold_crds::keys::KIND;
use manifold_crds::{Nad, NadRef};
use serde_json::Value;

use super::super::{Kind, PodRef, SourceError};
use super::PodManifest;

#[derive(Clone, Debug)]
pub(super) enum Object {
    Definition(Box<Nad>),
    Pod(Box<PodManifest>),
}

/// By what an object is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: &'static str,
    /// `namespace/name`
    name: String,
}

impl Key {
    /// Of an object that may be wrong in any other respect; `None` where nobody can tell what it is.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let kind = match value.get("kind")?.as_str()? {
            KIND => KIND,
            "Pod" => "Pod",
            _ => return None,
        };
        let metadata = |key: &str| value.get("metadata")?.get(key)?.as_str().filter(|text| !text.is_empty());
        let name = format!("{}/{}", metadata("namespace").unwrap_or("default"), metadata("name")?);
        Some(Self { kind, name })
    }

    fn of_definition(reference: &NadRef) -> Self {
        Self { kind: KIND, name: reference.to_string() }
    }

    fn of_pod(who: &PodRef) -> Self {
        Self { kind: "Pod", name: who.to_string() }
    }

    fn of_object(object: &Object) -> Self {
        match object {
            Object::Definition(nad) => Self::of_definition(&nad.reference),
            Object::Pod(pod) => Self { kind: "Pod", name: format!("{}/{}", pod.namespace, pod.name) },
        }
    }

    fn words(&self) -> String {
        let kind = if self.kind == KIND { "network" } else { "pod" };
        format!("{kind} `{}`", self.name)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    objects: Vec<(Key, Object, PathBuf)>,
    broken: Vec<(Option<Key>, SourceError)>,
}

impl Contents {
    pub(super) fn add(&mut self, object: Object, file: &Path) {
        self.objects.push((Key::of_object(&object), object, file.to_owned()));
    }

    pub(super) fn broken(&mut self, key: Option<Key>, error: SourceError) {
        self.broken.push((key, error));
    }

    pub(super) fn definition(&self, reference: &NadRef) -> Result<Option<&Nad>, SourceError> {
        match self.get(&Key::of_definition(reference))? {
            Some(Object::Definition(nad)) => Ok(Some(nad)),
            _ => Ok(None),
        }
    }

    pub(super) fn pod(&self, who: &PodRef) -> Result<Option<&PodManifest>, SourceError> {
        match self.get(&Key::of_pod(who))? {
            Some(Object::Pod(pod)) => Ok(Some(pod)),
            _ => Ok(None),
        }
    }

    /// The same one twice is an error: which of them counts would be chance.
    fn get(&self, key: &Key) -> Result<Option<&Object>, SourceError> {
        if let Some((_, error)) = self.broken.iter().find(|(of, _)| of.as_ref() == Some(key)) {
            return Err(error.clone());
        }
        let mut found = self.objects.iter().filter(|(of, ..)| of == key);
        match (found.next(), found.next()) {
            (Some((_, _, one)), Some((_, _, other))) => {
                let (key, one, other) = (key.words(), one.display(), other.display());
                let what = format!("{key} is in `{one}` and in `{other}`; keep one of them");
                Err(SourceError::new(Kind::BadFile, what))
            }
            (found, _) => Ok(found.map(|(_, object, _)| object)),
        }
    }

    /// Everything that is wrong.
    pub(super) fn errors(&self) -> impl Iterator<Item = &SourceError> {
        self.broken.iter().map(|(_, error)| error)
    }

    /// Errors of what could be any object, since its name cannot be read.
    pub(super) fn nameless(&self) -> impl Iterator<Item = &SourceError> {
        self.broken.iter().filter(|(key, _)| key.is_none()).map(|(_, error)| error)
    }
}
