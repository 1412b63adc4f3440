//! Why a text is not JSON, in the words of the person who wrote it: the trailing comma, the smart quote, the YAML.
//!
//! A parser says what it expected next, which seldom is the slip. This reads on as far as the text is JSON, remembers
//! where everything stands, and looks at what stopped it.

use std::collections::HashMap;

use manifold_cni::json::MAX_DEPTH;
use manifold_cni::name::printable;

mod ends;
mod reason;

/// The first thing that keeps a text from being a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// In bytes.
    pub(super) offset: usize,
    pub(super) sentence: String,
    pub(super) fix: String,
}

impl Slip {
    fn new(offset: usize, sentence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { offset, sentence: sentence.into(), fix: fix.into() }
    }
}

/// Offsets of a value and of the key before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) key: Option<usize>,
    pub(super) value: usize,
}

/// Every value of a JSON object by its pointer, or the first slip.
pub(super) fn scan(text: &str) -> Result<Vec<(String, Spot)>, Slip> {
    let mut scanner = Scanner { text, at: 0, spots: Vec::new() };
    scanner.beginning()?;
    scanner.value("", None, 0)?;
    scanner.blank();
    if scanner.at < text.len() {
        return Err(scanner.after_the_end());
    }
    Ok(scanner.spots)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    spots: Vec<(String, Spot)>,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn value(&mut self, pointer: &str, key: Option<usize>, depth: usize) -> Result<(), Slip> {
        self.blank();
        self.spots.push((pointer.to_owned(), Spot { key, value: self.at }));
        if depth > MAX_DEPTH {
            let sentence = format!("the configuration is nested deeper than {MAX_DEPTH} levels");
            return Err(Slip::new(self.at, sentence, "remove what the plugins do not need"));
        }
        match self.peek() {
            Some('{') => self.object(pointer, depth),
            Some('[') => self.list(pointer, depth),
            Some('"') => self.string().map(drop),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, pointer: &str, depth: usize) -> Result<(), Slip> {
        let open = self.at;
        self.skip('{');
        self.blank();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut comma = None;
        loop {
            match (self.peek(), comma) {
                (Some('}'), None) => break,
                (Some('}'), Some(comma)) => return Err(reason::trailing_comma(comma, '}')),
                _ => {}
            }
            let here = self.at;
            let key = self.key(open)?;
            if let Some(first) = seen.insert(key.clone(), here) {
                return Err(reason::twice(self.text, &key, first, here));
            }
            self.blank();
            if self.peek() != Some(':') {
                return Err(self.no_colon(&key));
            }
            self.skip(':');
            let step = printable(&key.replace('~', "~0").replace('/', "~1"));
            self.value(&format!("{pointer}/{step}"), Some(here), depth + 1)?;
            match self.next_or_end(open, '}')? {
                Some(at) => comma = Some(at),
                None => break,
            }
        }
        self.skip('}');
        Ok(())
    }

    fn list(&mut self, pointer: &str, depth: usize) -> Result<(), Slip> {
        let open = self.at;
        self.skip('[');
        self.blank();
        if self.peek() == Some(']') {
            self.skip(']');
            return Ok(());
        }
        for n in 0.. {
            self.value(&format!("{pointer}/{n}"), None, depth + 1)?;
            let Some(comma) = self.next_or_end(open, ']')? else { break };
            if self.peek() == Some(']') {
                return Err(reason::trailing_comma(comma, ']'));
            }
        }
        self.skip(']');
        Ok(())
    }

    /// After a value: the offset of the comma, or `None` at the end.
    fn next_or_end(&mut self, open: usize, close: char) -> Result<Option<usize>, Slip> {
        let end = self.at;
        self.blank();
        match self.peek() {
            Some(',') => {
                let comma = self.at;
                self.skip(',');
                self.blank();
                Ok(Some(comma))
            }
            Some(c) if c == close => Ok(None),
            _ => Err(self.no_comma(end, open, close)),
        }
    }

    fn key(&mut self, open: usize) -> Result<String, Slip> {
        match self.peek() {
            Some('"') => self.string(),
            None => Err(self.unclosed(open, '}')),
            Some(_) => Err(self.not_a_key()),
        }
    }

    fn string(&mut self) -> Result<String, Slip> {
        let start = self.at;
        let mut escaped = false;
        let body = self.rest().char_indices().skip(1);
        for (n, c) in body {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    self.at = start + n + 1;
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    return serde_json::from_str(raw).map_err(|_| reason::odd_text(raw, start));
                }
                '\n' | '\r' => break,
                c if c.is_control() => return Err(reason::control(start + n, c)),
                _ => {}
            }
        }
        Err(reason::open_text(self.rest(), start))
    }

    fn number(&mut self) -> Result<(), Slip> {
        let (start, rest) = (self.at, self.rest());
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._:/".contains(c))).unwrap_or(rest.len());
        let raw = rest.get(..end).unwrap_or_default();
        self.at += end;
        match serde_json::from_str::<&serde_json::value::RawValue>(raw) {
            Ok(_) => Ok(()),
            Err(_) => Err(reason::number(start, raw)),
        }
    }

    fn word(&mut self) -> Result<(), Slip> {
        for word in ["true", "false", "null"] {
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if self.rest().strip_prefix(word).is_some_and(ends) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.not_a_value())
    }
}

#[cfg(test)]
mod tests;
