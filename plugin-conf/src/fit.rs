//! Turns raw JSON into a typed configuration, and says which key is at fault when it does not fit.
//!
//! `null` stands for "not given", as it does for the plugins this must be a drop-in for. A key may be written in any case
//! ([`manifold_cni::json::any_case`]): every reader of this crate comes through here or through [`RawObject`].

use manifold_cni::RawObject;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, plain, step, why};

/// The whole object as `T`; on a misfit, a pointer to the first key that does not fit.
pub fn fit<T: DeserializeOwned>(config: &RawObject) -> Result<T, Problem> {
    let given = given(config);
    given.read_as().map_err(|e| blame::<T>(&given, e))
}

/// As [`fit`], leaving out every key that does not fit: for DEL, which must work on what ADD once accepted, whatever
/// the configuration says today.
pub fn fit_leniently<T: DeserializeOwned + Default>(config: &RawObject) -> T {
    let mut given = given(config);
    if let Ok(all) = given.read_as() {
        return all;
    }
    let bad: Vec<String> = misfits::<T>(&given).map(|(key, _)| key.to_owned()).collect();
    given.retain(|key| !bad.iter().any(|b| b == key));
    given.read_as().unwrap_or_default()
}

/// The object under `key`; absent and `null` are an empty object.
pub fn object(config: &RawObject, key: &str) -> Result<RawObject, Problem> {
    match config.get_as::<RawObject>(key) {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(e) => Err(Problem::new(step(key), plain(key, &e))),
    }
}

/// One key as a type, with the pointer when it does not fit; absent and `null` are `None`.
pub fn key<T: DeserializeOwned>(config: &RawObject, name: &str) -> Result<Option<T>, Problem> {
    config.get_as(name).map_err(|e| Problem::new(step(name), plain(name, &e)))
}

fn given(config: &RawObject) -> RawObject {
    let mut given = RawObject::default();
    for (key, value) in config.iter().filter(|(_, value)| value.get() != "null") {
        given.set_raw(key, value.to_owned());
    }
    given
}

fn blame<T: DeserializeOwned>(config: &RawObject, whole: serde_json::Error) -> Problem {
    match misfits::<T>(config).next() {
        Some((key, e)) => Problem::new(step(key), plain(key, &e)),
        None => Problem::new("", why(&whole)),
    }
}

/// Every key tried alone. All types here have defaults, so a key that fails alone is the one that does not fit.
fn misfits<T: DeserializeOwned>(config: &RawObject) -> impl Iterator<Item = (&str, serde_json::Error)> {
    config.iter().filter_map(|(key, value)| {
        let mut alone = RawObject::default();
        alone.set_raw(key, value.to_owned());
        alone.read_as::<T>().err().map(|e| (key, e))
    })
}

/// For `#[serde(deserialize_with)]`: the empty text and `null` mean "not given".
pub(crate) fn empty_is_default<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + std::str::FromStr,
    T::Err: std::fmt::Display,
{
    use serde::Deserialize;
    match Option::<String>::deserialize(d)?.as_deref() {
        None | Some("") => Ok(T::default()),
        Some(raw) => raw.parse().map_err(serde::de::Error::custom),
    }
}

/// The same for a key without a default.
pub(crate) fn empty_is_none<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    use serde::Deserialize;
    match Option::<String>::deserialize(d)?.as_deref() {
        None | Some("") => Ok(None),
        Some(raw) => raw.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
