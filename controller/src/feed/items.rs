//! Takes a list apart while it arrives: each item is handed out as soon as it is whole, and nothing else of the list is kept.
//!
//! A page of the API server may be hundreds of megabytes, because anybody who creates objects fills it. What is held here is one
//! item, up to [`ITEM_MOST_BYTES`]. Pure.

use serde::Deserialize;

/// An object has at most 1.5 MiB in the store, and `<` of it takes six bytes in the API server's JSON.
pub(super) const ITEM_MOST_BYTES: usize = 12 << 20;
/// Version and token.
const METADATA_MOST_BYTES: usize = 64 << 10;
/// Of a key: longer ones are none that is looked for.
const KEY_MOST_BYTES: usize = 16;

/// One item of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Text(Vec<u8>),
    /// It was passed over.
    TooLarge,
}

/// What the list says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) resource_version: Option<String>,
    pub(super) r#continue: Option<String>,
}

/// What the list is not, a few words.
pub(super) type Broken = &'static str;

/// Where in the list the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Key,
    Items,
    Metadata,
    Other,
}

#[derive(Debug)]
pub(super) struct Splitter {
    /// Objects and lists that are open.
    depth: usize,
    part: Part,
    in_string: bool,
    is_escaped: bool,
    is_over: bool,
    key: Vec<u8>,
    item: Vec<u8>,
    is_too_large: bool,
    metadata: Vec<u8>,
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self {
            depth: 0,
            part: Part::Key,
            in_string: false,
            is_escaped: false,
            is_over: false,
            key: Vec::new(),
            item: Vec::new(),
            is_too_large: false,
            metadata: Vec::new(),
        }
    }

    /// Takes bytes until an item is whole; how many it took.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Item>), Broken> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                taken += self.string(rest);
                continue;
            }
            taken += 1;
            let [byte, ..] = *rest else { break };
            if let Some(item) = self.byte(byte)? {
                return Ok((taken, Some(item)));
            }
        }
        Ok((taken, None))
    }

    /// The list has no more bytes.
    pub(super) fn end(&self) -> Result<Metadata, Broken> {
        if !self.is_over {
            return Err("it ends early");
        }
        match self.metadata.is_empty() {
            true => Ok(Metadata::default()),
            false => serde_json::from_slice::<Option<Metadata>>(&self.metadata)
                .map(Option::unwrap_or_default)
                .map_err(|_| "its `metadata` cannot be read"),
        }
    }

    /// The part of the string that lies there, to its end where that is there too.
    fn string(&mut self, rest: &[u8]) -> usize {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\');
        let count = match std::mem::take(&mut self.is_escaped) {
            true => 1,
            false => match rest.iter().position(special) {
                None => rest.len(),
                Some(at) => {
                    self.is_escaped = rest.get(at) == Some(&b'\\');
                    self.in_string = self.is_escaped;
                    at + 1
                }
            },
        };
        self.keep(rest.get(..count).unwrap_or_default());
        count
    }

    fn byte(&mut self, byte: u8) -> Result<Option<Item>, Broken> {
        if byte.is_ascii_whitespace() {
            return Ok(None);
        }
        if self.is_over || (self.depth == 0 && byte != b'{') {
            return Err("it is not an object");
        }
        match (byte, self.depth, self.part) {
            (b'{', 0, _) => {
                self.depth = 1;
                return Ok(None);
            }
            (b'"', ..) => self.in_string = true,
            (b'{', 1, Part::Items) => return Err("its `items` are no list"),
            // The list itself is not kept.
            (b'[', 1, Part::Items) => {
                self.depth = 2;
                return Ok(None);
            }
            (b',', 2, Part::Items) => return Ok(self.whole()),
            (b']', 2, Part::Items) => {
                self.depth = 1;
                return Ok(self.whole());
            }
            (b',', 1, _) => {
                self.part = Part::Key;
                self.key.clear();
                return Ok(None);
            }
            (b':', 1, Part::Key) => {
                self.part = self.part_of_key();
                return Ok(None);
            }
            (b'{' | b'[', ..) => self.depth += 1,
            (b'}' | b']', ..) => {
                self.depth -= 1;
                self.is_over = self.depth == 0;
            }
            _ => {}
        }
        if !self.is_over {
            self.keep(&[byte]);
        }
        Ok(None)
    }

    fn part_of_key(&self) -> Part {
        match &*self.key {
            br#""items""# => Part::Items,
            br#""metadata""# => Part::Metadata,
            _ => Part::Other,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (kept, most) = match self.part {
            Part::Items if self.depth >= 2 => (&mut self.item, ITEM_MOST_BYTES),
            Part::Metadata => (&mut self.metadata, METADATA_MOST_BYTES),
            Part::Key => (&mut self.key, KEY_MOST_BYTES),
            Part::Items | Part::Other => return,
        };
        let fits = kept.len() + bytes.len() <= most;
        self.is_too_large |= !fits && self.part == Part::Items;
        if fits && !(self.is_too_large && self.part == Part::Items) {
            kept.extend_from_slice(bytes);
        }
    }

    fn whole(&mut self) -> Option<Item> {
        let text = std::mem::take(&mut self.item);
        match std::mem::take(&mut self.is_too_large) {
            true => Some(Item::TooLarge),
            false => Some(Item::Text(text)).filter(|item| *item != Item::Text(Vec::new())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// In pieces of so many bytes.
    fn split(text: &[u8], piece: usize) -> Result<(Vec<Item>, Metadata), Broken> {
        let (mut splitter, mut items) = (Splitter::new(), Vec::new());
        for mut chunk in text.chunks(piece) {
            while !chunk.is_empty() {
                let (taken, item) = splitter.take(chunk)?;
                items.extend(item);
                chunk = &chunk[taken..];
            }
        }
        splitter.end().map(|metadata| (items, metadata))
    }

    fn read(items: &[Item]) -> Vec<Value> {
        let text = |item: &Item| match item {
            Item::Text(text) => serde_json::from_slice(text).unwrap(),
            Item::TooLarge => Value::from("too large"),
        };
        items.iter().map(text).collect()
    }

    #[test]
    fn items_are_handed_out_wherever_the_bytes_are_cut() {
        let items =
            json!([{"a": "[{\"items\": \\\\\"]}", "items": [1, {"b": "},{"}]}, {}, 5, "x,]", [], null]);
        let list = json!({"kind": "L", "more": {"items": [7]}, "items": items, "metadata": {"resourceVersion": "9", "continue": "c"}});
        for text in [serde_json::to_vec(&list).unwrap(), serde_json::to_vec_pretty(&list).unwrap()] {
            for piece in [1, 2, 3, 7, 64, text.len()] {
                let (found, metadata) = split(&text, piece).unwrap();
                assert_eq!(Value::from(read(&found)), items);
                assert_eq!(metadata.resource_version.as_deref(), Some("9"));
                assert_eq!(metadata.r#continue.as_deref(), Some("c"));
            }
        }
    }

    #[test]
    fn an_empty_list_has_no_items() {
        for text in [r#"{"items": []}"#, r#"{"items": null, "metadata": {}}"#, "{}", r#"{"metadata":null}"#] {
            let (items, metadata) = split(text.as_bytes(), 3).unwrap();
            assert!(items.is_empty() && metadata.resource_version.is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_told() {
        for text in [
            "",
            "[]",
            "{}}",
            "{} x",
            "5",
            r#"{"items": {"a": 1}}"#,
            r#"{"items": [{"a": 1}"#,
            r#"{"items": ["a]}"#,
        ] {
            assert!(split(text.as_bytes(), 2).is_err(), "{text}");
        }
    }

    // Proves: F-CTL-9
    #[test]
    fn an_item_beyond_the_limit_is_passed_over_and_the_next_is_read() {
        let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(ITEM_MOST_BYTES));
        let text = format!(r#"{{"items": [{large}, {{"b": 1}}], "metadata": {{"resourceVersion": "9"}}}}"#);
        let (items, metadata) = split(text.as_bytes(), 8192).unwrap();
        assert_eq!(read(&items), [json!("too large"), json!({"b": 1})]);
        assert_eq!(metadata.resource_version.as_deref(), Some("9"));
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn garbage_never_panics(text in r#"[\[\]{}:,"\\a items metadata0-9]{0,80}"#, piece in 1..9_usize) {
            let _ = split(text.as_bytes(), piece);
            let _ = split(format!("{{\"items\":[{text}").as_bytes(), piece);
        }
    }
}
