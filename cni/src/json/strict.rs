//! Reading JSON strictly, and telling where in the text something stands.
//!
//! What lenient parsers let differ between two readers is refused: keys that stand twice, text after the value, strings
//! that are no Unicode. Numbers keep their text whatever their size, as nobody here has to compute with them.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::any_case::position as position_of_key;
use super::{BadJson, MAX_DEPTH};
use crate::name::printable;

/// Walks the whole text and refuses what two readers could understand differently.
///
/// # Errors
/// If the text is no JSON, or says something twice or too deep.
pub fn strict(bytes: &[u8]) -> Result<(), BadJson> {
    let whole = std::str::from_utf8(bytes).map_err(|e| {
        let (line, column) = end_of(bytes.get(..e.valid_up_to()).unwrap_or_default());
        BadJson { why: "the text is not UTF-8".to_owned(), line, column }
    })?;
    let value: &RawValue = serde_json::from_str(whole)?;
    walk(whole, value, 0)
}

/// `depth` bounds the recursion; serde_json itself reads a raw value without recursing.
fn walk(whole: &str, value: &RawValue, depth: usize) -> Result<(), BadJson> {
    let text = value.get();
    let here = |e: serde_json::Error| inside(whole, value, e.into());
    let deeper = || {
        let why = format!("nested deeper than {MAX_DEPTH} levels");
        if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(at(whole, value, why)) }
    };
    match text.as_bytes().first() {
        Some(b'{') => {
            let depth = deeper()?;
            let mut seen = HashSet::new();
            for (key, value) in serde_json::from_str::<Pairs<'_>>(text).map_err(here)?.0 {
                walk(whole, value, depth)?;
                if seen.contains(&key) {
                    return Err(at(whole, value, format!("duplicate key `{}`", printable(&key))));
                }
                seen.insert(key);
            }
            Ok(())
        }
        Some(b'[') => {
            let depth = deeper()?;
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(here)?;
            items.into_iter().try_for_each(|item| walk(whole, item, depth))
        }
        // The raw reader passes over escapes without a look at what they spell.
        Some(b'"') => serde_json::from_str::<String>(text).map(drop).map_err(here),
        _ => Ok(()),
    }
}

/// Line and column, from 1, of the value that a JSON pointer names.
pub fn locate(bytes: &[u8], pointer: &str) -> Option<(usize, usize)> {
    let whole = std::str::from_utf8(bytes).ok()?;
    let mut value: &RawValue = serde_json::from_str(whole).ok()?;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        value = match value.get().as_bytes().first()? {
            b'{' => {
                let pairs = serde_json::from_str::<Pairs<'_>>(value.get()).ok()?.0;
                let keys = pairs.iter().enumerate().map(|(n, (k, _))| (n, k.as_str()));
                pairs.get(position_of_key(keys, &step)?)?.1
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                *items.get(step.parse::<usize>().ok()?)?
            }
            _ => return None,
        };
    }
    Some(position(whole, value))
}

fn at(whole: &str, value: &RawValue, why: String) -> BadJson {
    let (line, column) = position(whole, value);
    BadJson { why, line, column }
}

/// An error inside `value`, told by its place in the whole text.
fn inside(whole: &str, value: &RawValue, e: BadJson) -> BadJson {
    let (line, column) = position(whole, value);
    let column = if e.line <= 1 { column + e.column.saturating_sub(1) } else { e.column };
    BadJson { line: line + e.line.saturating_sub(1), column, ..e }
}

/// Where `value` begins. It borrows from `whole`, so the distance of the two addresses is the offset.
fn position(whole: &str, value: &RawValue) -> (usize, usize) {
    let offset = (value.get().as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    end_of(whole.as_bytes().get(..offset).unwrap_or_default())
}

/// Line and column of the byte after `before`.
fn end_of(before: &[u8]) -> (usize, usize) {
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    (before.iter().filter(|b| **b == b'\n').count() + 1, before.len() - line_start + 1)
}

/// The keys of an object with values that borrow from the text.
pub(super) struct Pairs<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        d.deserialize_map(Read)
    }
}
