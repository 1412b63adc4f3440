//! Keys in any case, as Go's JSON reader takes them.
//!
//! Multus, libcni and the reference plugins are Go programs, so `isgateway` and `IPAM` work with them. Here the same
//! rule holds for every key that we know: the exact spelling counts where it is there, otherwise the last one that
//! differs in case only. Keys that we do not know keep their spelling, and so does everything that is passed on.

use std::vec;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};

use super::strict::Pairs;

/// By this name `RawValue` asks its reader for the text itself.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Whether `written` is the key `known` apart from case. Two letters outside ASCII fold into ASCII ones; Go takes
/// those too, so a key of ours cannot be hidden behind them.
pub fn is_key(written: &str, known: &str) -> bool {
    written == known || written.chars().map(fold).eq(known.chars().map(fold))
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

/// The place of `key` among `keys`: the exact spelling, otherwise the last one in another case.
pub(super) fn position<'k>(
    keys: impl DoubleEndedIterator<Item = (usize, &'k str)> + Clone,
    key: &str,
) -> Option<usize> {
    let exact = keys.clone().find(|(_, written)| *written == key);
    exact.or_else(|| keys.rev().find(|(_, written)| is_key(written, key))).map(|(at, _)| at)
}

/// Gives each key of `known` its own spelling. Of several spellings only the one that counts is kept.
pub fn respell<V>(pairs: Vec<(String, V)>, known: &[&str]) -> Vec<(String, V)> {
    let names: Vec<Option<&str>> =
        pairs.iter().map(|(key, _)| known.iter().copied().find(|name| is_key(key, name))).collect();
    if pairs.iter().zip(&names).all(|((key, _), name)| name.is_none_or(|name| name == key)) {
        return pairs;
    }
    let counts = |at: usize, name: &str| {
        position(pairs.iter().enumerate().map(|(n, (key, _))| (n, key.as_str())), name) == Some(at)
    };
    let kept: Vec<bool> =
        names.iter().enumerate().map(|(at, name)| name.is_none_or(|name| counts(at, name))).collect();
    let spelt = pairs.into_iter().zip(names).zip(kept).filter(|(_, kept)| *kept);
    spelt.map(|(((key, value), name), _)| (name.map_or(key, str::to_owned), value)).collect()
}

/// The same for an object that was read already.
pub fn respell_map(object: &mut Map<String, Value>, known: &[&str]) {
    *object = respell(std::mem::take(object).into_iter().collect(), known).into_iter().collect();
}

/// Reads a value. Structs find their keys in any case, at every depth.
///
/// # Errors
/// If it does not have this shape.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let whole: &RawValue = serde_json::from_str(text)?;
    T::deserialize(AnyCase(whole.get()))
}

/// As [`from_str`], of bytes.
///
/// # Errors
/// If it does not have this shape.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let whole: &RawValue = serde_json::from_slice(bytes)?;
    T::deserialize(AnyCase(whole.get()))
}

/// The text of one value, well-formed and without space around it.
#[derive(Clone, Copy)]
struct AnyCase<'de>(&'de str);

impl<'de> AnyCase<'de> {
    fn plain(self) -> serde_json::Deserializer<serde_json::de::StrRead<'de>> {
        serde_json::Deserializer::from_str(self.0)
    }

    fn pairs(self) -> Result<Vec<(String, &'de RawValue)>, Error> {
        Ok(serde_json::from_str::<Pairs<'de>>(self.0)?.0)
    }
}

fn map<'de>(
    pairs: Vec<(String, &'de RawValue)>,
) -> MapDeserializer<'de, vec::IntoIter<(String, AnyCase<'de>)>, Error> {
    let values: Vec<_> = pairs.into_iter().map(|(key, value)| (key, AnyCase(value.get()))).collect();
    MapDeserializer::new(values.into_iter())
}

impl<'de> IntoDeserializer<'de, Error> for AnyCase<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// What holds no struct is read by serde_json.
macro_rules! plainly {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.plain().$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for AnyCase<'de> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !self.0.starts_with('{') {
            return self.plain().deserialize_struct(name, fields, visitor);
        }
        visitor.visit_map(map(respell(self.pairs()?, fields)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.0.starts_with('{') {
            return self.plain().deserialize_map(visitor);
        }
        visitor.visit_map(map(self.pairs()?))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.0.starts_with('[') {
            return self.plain().deserialize_seq(visitor);
        }
        let items: Vec<&'de RawValue> = serde_json::from_str(self.0)?;
        visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(|item| AnyCase(item.get()))))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == RAW_VALUE {
            return self.plain().deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.plain().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.plain().deserialize_unit_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.plain().deserialize_tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.plain().deserialize_tuple_struct(name, len, visitor)
    }

    plainly! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::RawObject;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outer {
        is_gateway: Option<bool>,
        inner: Vec<Inner>,
        by_name: BTreeMap<String, Inner>,
        raw: RawObject,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inner {
        range_start: String,
    }

    fn read(raw: &str) -> Outer {
        from_str(raw).expect(raw)
    }

    // Proves: COMPAT-6
    #[test]
    fn a_key_is_found_in_any_case_at_every_depth() {
        let found = read(
            r#" {"ISGATEWAY":true,"Inner":[{"rangestart":"a"},{"RangeStart":"b"}],"byName":{"X":{"RANGESTART":"c"}}} "#,
        );
        assert_eq!(found.is_gateway, Some(true));
        assert_eq!(found.inner.iter().map(|i| i.range_start.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        // What is keyed by names of somebody else's is left alone.
        assert_eq!(found.by_name.keys().collect::<Vec<_>>(), ["X"]);
        assert_eq!(found.by_name.get("X").map(|i| i.range_start.as_str()), Some("c"));
        assert_eq!(read(r#"{"isgateway":null}"#).is_gateway, None);
    }

    // Proves: COMPAT-6
    #[test]
    fn the_exact_spelling_wins_and_else_the_last() {
        for (raw, expected) in [
            (r#"{"isgateway":false,"isGateway":true,"ISGATEWAY":false}"#, Some(true)),
            (r#"{"isGateway":true,"isgateway":false}"#, Some(true)),
            (r#"{"IsGateway":false,"isgateway":true}"#, Some(true)),
            (r#"{"isGatewayy":true,"is_gateway":true}"#, None),
        ] {
            assert_eq!(read(raw).is_gateway, expected, "{raw}");
        }
    }

    // Proves: COMPAT-6
    #[test]
    fn what_is_kept_raw_keeps_its_keys() {
        let raw = read(r#"{"RAW":{"Inner":1,"IsGateway":{"RangeStart":1e999}}}"#).raw;
        assert_eq!(
            String::from_utf8(raw.to_vec()).unwrap(),
            r#"{"Inner":1,"IsGateway":{"RangeStart":1e999}}"#
        );
    }

    #[test]
    fn letters_that_go_folds_into_ascii_are_the_same_key() {
        assert!(is_key("prevRe\u{17f}ult", "prevResult") && is_key("\u{212a}ind", "kind"));
        assert!(!is_key("prévResult", "prevResult") && !is_key("prevResul", "prevResult"));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_as_ever() {
        for raw in [r#"{"isGateway":"x"}"#, r#"{"inner":{}}"#, r#"{"inner":[7]}"#, "[]", "7", "{", "{} {}"] {
            let (ours, theirs) = (from_str::<Outer>(raw), serde_json::from_str::<Outer>(raw));
            assert_eq!(ours.is_err(), theirs.is_err(), "{raw}");
        }
    }
}
