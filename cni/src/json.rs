//! JSON objects whose values stay the bytes they were: nothing that we do not know is lost or changed.
//!
//! A typed model would drop keys and round numbers (CNI-CFG-16, CNI-DRV-6), so configurations are kept
//! as an ordered list of keys with raw values, and only the keys that the protocol owns are replaced.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub mod any_case;
mod strict;

pub use any_case::is_key;
pub use strict::{locate, strict};

/// Deeper input is refused before anything recurses over it (F-INP-5).
pub const MAX_DEPTH: usize = 32;

/// A JSON object in source order, values as raw bytes.
#[derive(Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

/// Keys only: values may be somebody's secrets, and this ends up in logs (S-2).
impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

/// Text that is not one well-formed JSON object. `line` and `column` count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} (line {line}, column {column})")]
pub struct BadJson {
    /// What is wrong.
    pub why: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

impl From<serde_json::Error> for BadJson {
    fn from(e: serde_json::Error) -> Self {
        let whole = e.to_string();
        let why = whole.split(" at line ").next().unwrap_or(&whole);
        Self { why: crate::name::one_line(why), line: e.line(), column: e.column() }
    }
}

impl RawObject {
    /// Parses one object, strictly: no key twice at any level, no value deeper than [`MAX_DEPTH`],
    /// no text after it, strings that are valid Unicode.
    ///
    /// # Errors
    /// If it is no JSON object; the error has line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadJson> {
        strict(bytes)?;
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The value under `key`, which may be written in any case ([`any_case`]).
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.find(key).map(|(_, value)| value.as_ref())
    }

    /// How the key that counts as `key` is written.
    pub fn spelling_of(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(written, _)| written.as_str())
    }

    fn find(&self, key: &str) -> Option<&(String, Box<RawValue>)> {
        let at = any_case::position(self.0.iter().enumerate().map(|(n, (k, _))| (n, k.as_str())), key)?;
        self.0.get(at)
    }

    /// The value under `key` as a type; absent and `null` are both `None`.
    ///
    /// # Errors
    /// If the key is there and its value is of another kind.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(key).map_or(Ok(None), |raw| any_case::from_str(raw.get()))
    }

    /// The whole object as a type.
    ///
    /// # Errors
    /// If it does not have this shape.
    pub fn read_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        any_case::from_slice(&self.to_vec())
    }

    /// Whether the key is there, `null` included.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_str())
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_ref()))
    }

    /// Sets or replaces a key that is written exactly so, keeping its place when it was there.
    pub fn set_raw(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Sets a key of ours. Where it is written in another case too, that goes: a plugin in Go would read the last one.
    pub fn set(&mut self, key: &str, value: &impl Serialize) {
        let raw = serde_json::value::to_raw_value(value).expect("values of ours have string keys only");
        self.set_raw(key, raw);
        self.retain(|written| written == key || !is_key(written, key));
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the keys for which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(k, _)| keep(k));
    }

    /// The object as text.
    pub fn to_vec(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("raw values are valid JSON already")
    }
}

impl Serialize for RawObject {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RawObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawObject(pairs))
            }
        }
        d.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Proves: F-INP-5
    #[test]
    fn text_that_two_readers_could_understand_differently_is_refused() {
        #[track_caller]
        fn check(raw: &str, why: &str) {
            let e = RawObject::parse(raw.as_bytes()).expect_err(raw);
            assert!(e.to_string().contains(why), "{raw}: {e}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        check(&deep, "nested deeper than 32 levels");
        check(r#"{"a":1,"a":2}"#, "duplicate key `a`");
        check(r#"{"a":{"b":[{"c":1,"c":1}]}}"#, "duplicate key `c`");
        check(r#"{"a":1,"\u0061":2}"#, "duplicate key");
        check("{\"a\":\"\\ud800\"}", "(line 1");
        check("\u{feff}{}", "line 1, column 1");
        check("{} {}", "trailing characters");
        check("{\n \"a\": {\"b\": 1,\n  \"b\": 2}}", "(line 3, column 8)");
        check("[1,\n {\"a\": \"\\ud800\"}]", "line 2");
        check(r#"{"a":01}"#, "line 1");
        check("[]", "expected a JSON object");
        check("", "line 1, column 0");
        check("{\n  \"a\": 1,\n  oops\n}", "(line 3, column 3)");
        assert!(RawObject::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    // Proves: CNI-CFG-16
    #[test]
    fn what_we_do_not_know_leaves_as_it_came() {
        let raw = r#"{"huge":1e999,"big":123456789012345678901234567890,"float":1.10,"exp":1E+2,"deep":{"x":[null,{"y":null}]},"null":null}"#;
        let mut keys = RawObject::parse(raw.as_bytes()).expect("an object");
        keys.set("name", &"n");
        keys.remove("name");
        assert_eq!(String::from_utf8(keys.to_vec()).expect("UTF-8"), raw);
    }

    // Proves: S-2
    #[test]
    fn a_log_line_shows_keys_and_no_values() {
        let keys = RawObject::parse(br#"{"password":"canary","x":{"y":"canary"}}"#).expect("an object");
        assert_eq!(format!("{keys:?}"), r#"{"password", "x"}"#);
    }

    #[test]
    fn a_pointer_is_found_by_line_and_column() {
        let raw = b"{\n  \"a/b\": [1, {\"c\": true}],\n  \"d\": {}\n}";
        assert_eq!(locate(raw, ""), Some((1, 1)));
        assert_eq!(locate(raw, "/a~1b/1/c"), Some((2, 20)));
        assert_eq!(locate(raw, "/d"), Some((3, 8)));
        for nowhere in ["/x", "/a~1b/9", "/a~1b/x", "/d/e", "/a~1b/0/z"] {
            assert_eq!(locate(raw, nowhere), None);
        }
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RawObject::parse(&bytes);
            let _ = locate(&bytes, "/a/0");
        }

        // Proves: CNI-DRV-6
        #[test]
        fn parsed_and_printed_is_the_same_value(keys in proptest::collection::btree_map("[a-z/~\"]{1,6}", any::<(i64, String, Option<bool>)>(), 0..6)) {
            let value = serde_json::to_value(&keys).expect("serialises");
            let raw = RawObject::parse(value.to_string().as_bytes()).expect("an object");
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&raw.to_vec()).expect("JSON"), value);
        }
    }
}
