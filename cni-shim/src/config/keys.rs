//! Reads single keys of the entry: absent and `null` are the default, a value of another kind is one sentence.

use std::path::PathBuf;

use manifold_cni::{CniError, RawObject};
use serde_json::Value;

/// The entry, or one object inside it, with the place that messages name.
pub(super) struct Keys<'a> {
    object: &'a RawObject,
    inside: &'static str,
}

impl<'a> Keys<'a> {
    pub(super) fn of(object: &'a RawObject) -> Self {
        Self { object, inside: "" }
    }

    pub(super) fn inside(object: &'a RawObject, inside: &'static str) -> Self {
        Self { object, inside }
    }

    pub(super) fn value(&self, key: &str) -> Option<Value> {
        let value = self.object.get_as::<Value>(key).ok().flatten()?;
        (!value.is_null()).then_some(value)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, CniError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|t| !t.is_empty())),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, CniError> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(key, "`true` or `false`")),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&self, key: &str, default: u64, most: u64) -> Result<u64, CniError> {
        match self.value(key) {
            None => Ok(default),
            Some(v) => match v.as_u64() {
                Some(n) if (1..=most).contains(&n) => Ok(n),
                _ => Err(self.wrong(key, &format!("a whole number from 1 to {most}"))),
            },
        }
    }

    /// A whole number, or the default where it is absent or zero, as the log keys of Multus have it.
    pub(super) fn count(&self, key: &str, default: u64) -> Result<u64, CniError> {
        match self.value(key) {
            None => Ok(default),
            Some(v) => v.as_u64().ok_or_else(|| self.wrong(key, "a whole number, not below zero")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, CniError> {
        let wrong = || self.wrong(key, "a list of strings");
        let Some(value) = self.value(key) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(wrong()) };
        let text = |v| match v {
            Value::String(text) => Ok(text),
            _ => Err(wrong()),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// An absolute path: a relative one would depend on where the runtime was started.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>, CniError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let path = PathBuf::from(text);
        if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(self.wrong(key, "an absolute path, one that begins with `/`"));
        }
        Ok(Some(path))
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<RawObject>, CniError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(_)) => Ok(self.object.get_as(key).ok().flatten()),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    /// A list of objects, each as the bytes that it was.
    pub(super) fn raw_list(&self, key: &str) -> Option<Vec<RawObject>> {
        self.object.get_as(key).ok().flatten()
    }

    pub(super) fn wrong(&self, key: &str, wants: &str) -> CniError {
        let dot = if self.inside.is_empty() { "" } else { "." };
        let place = format!("{}{dot}{key}", self.inside);
        CniError::config(format!("key `{place}` of the plugin configuration must be {wants}"))
    }
}
