//! A definition as the API server has it, also where its text has another shape than a definition.

use kube::core::DynamicObject;
use manifold_crds::Nad;
use serde_json::value::RawValue;

use crate::objects::{Definition, Malformed, unreadable};

/// A definition as it was read, or as much of it as could be.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) definition: Definition,
    /// Why its configuration could not be read at all.
    pub(super) unreadable: Option<String>,
}

impl Observed {
    /// Whether this is a later state of the same object, or another object. Our own writes are known before the watch
    /// tells of them.
    pub(super) fn is_news_after(&self, known: &Self) -> bool {
        let version = |o: &Self| o.definition.resource_version.parse::<u64>().unwrap_or(u64::MAX);
        known.definition.uid != self.definition.uid || version(known) < version(self)
    }

    /// Whether anything differs that we do not write ourselves.
    pub(super) fn differs_from(&self, known: &Self) -> bool {
        let (known, new) = (&known.definition, &self.definition);
        let text = |nad: &Nad| Nad { finalizers: Vec::new(), ..nad.clone() };
        known.uid != new.uid || text(&known.nad) != text(&new.nad)
    }
}

/// A definition, or what can be told of one whose text has another shape: its pods are pods all the same.
pub(super) fn observe(raw: &RawValue, config_most: usize) -> Result<Observed, Malformed> {
    let object = serde_json::from_str(raw.get()).map_err(|e| unreadable(raw, &e))?;
    observed(object, config_most)
}

pub(super) fn observed(mut object: DynamicObject, config_most: usize) -> Result<Observed, Malformed> {
    let malformed = match Definition::read(&object) {
        Ok(definition) => return trimmed(definition, config_most),
        Err(malformed) => malformed,
    };
    if let Some(data) = object.data.as_object_mut() {
        data.remove("spec");
    }
    let definition = Definition::read(&object)?.trimmed()?;
    Ok(Observed { definition, unreadable: Some(malformed.why) })
}

/// All definitions are kept for as long as they exist, so of none more than it needs.
fn trimmed(definition: Definition, config_most: usize) -> Result<Observed, Malformed> {
    let mut definition = definition.trimmed()?;
    let bytes = definition.nad.config.as_ref().map_or(0, String::len);
    let unreadable = (bytes > config_most).then(|| {
        definition.nad.config = None;
        format!("`spec.config` has {bytes} bytes, and {config_most} are allowed; split it into definitions of one network each")
    });
    Ok(Observed { definition, unreadable })
}
