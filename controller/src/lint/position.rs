//! Where something of an object stands in its file.

use std::collections::BTreeSet;

use super::documents::Document;
use super::scalar::{self, Scalar};

/// Line and column of the file, from 1.
pub(super) type Position = (usize, usize);

/// The keys of one document that have been told of, so that the objects of a list each get their own.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    document: &'a Document,
    taken: BTreeSet<usize>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self { document, taken: BTreeSet::new() }
    }

    /// The key `config` whose value is that text, and the text with its places.
    pub(super) fn config(&mut self, config: &str) -> (Position, Option<Scalar>) {
        let all: Vec<usize> = keys(&self.document.text, "config").collect();
        let free = || all.iter().copied().filter(|at| !self.taken.contains(at));
        let found = free().find_map(|at| self.scalar(at).filter(|s| s.is(config)).map(|s| (at, s)));
        let (at, scalar) = match found {
            Some((at, scalar)) => (Some(at), Some(scalar)),
            None => (free().next(), None),
        };
        self.taken.extend(at);
        (self.position(at.unwrap_or_default()), scalar)
    }

    /// The next key of that name, else the beginning of the document.
    pub(super) fn key(&mut self, name: &str) -> Position {
        let at = keys(&self.document.text, name).find(|at| !self.taken.contains(at));
        self.taken.extend(at);
        self.position(at.unwrap_or_else(|| self.beginning()))
    }

    /// Where an object tells its name.
    pub(super) fn object(&self, name: &str) -> Position {
        let text = &self.document.text;
        let says = |at: &usize| {
            let value = text.get(*at..).and_then(|rest| rest.split_once(':')).map_or("", |(_, value)| value);
            let value = value.trim_start_matches([' ', '"', '\'']);
            value
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        };
        let at = keys(text, "name").chain(keys(text, "generateName")).find(says);
        self.position(at.unwrap_or_else(|| self.beginning()))
    }

    fn beginning(&self) -> usize {
        let text = &self.document.text;
        let lines = text.split_inclusive('\n').scan(0, |at, line| {
            let here = *at;
            *at += line.len();
            Some((here, line))
        });
        let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        lines.filter(|(_, line)| says(line)).map(|(at, _)| at).next().unwrap_or_default()
    }

    fn scalar(&self, key: usize) -> Option<Scalar> {
        let text = self.document.text.get(key..)?;
        let colon = key + text.find(':')? + 1;
        let (line, column) = self.position(colon);
        scalar::read(self.document.text.get(colon..)?, line, column)
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.document.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        (self.document.first_line + before.matches('\n').count(), column)
    }
}

/// Offsets of what looks like the key `name`, with or without quotes.
fn keys<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = text.get(..*at).unwrap_or_default().trim_end_matches(['"', '\'']);
        let after = text.get(at + name.len()..).unwrap_or_default().trim_start_matches(['"', '\'']);
        let begins = before.is_empty() || before.ends_with([' ', '\n', '{', ',', '\t']);
        begins
            && after.trim_start_matches(' ').strip_prefix(':').is_some_and(|value| {
                value.is_empty() || value.starts_with(char::is_whitespace) || value.starts_with(['"', '\''])
            })
    })
}
