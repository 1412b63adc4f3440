//! `docs/messages.txt`: every sentence of the product that a user can see, in one file, so that they can be read in one
//! sitting. `cargo xtask messages` writes it; a test compares it with the sources.

mod chart;
mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::build;

pub(crate) const PAGE: &str = "docs/messages.txt";
const FIX: &str = "cargo xtask messages";
const HEAD: &str = "\
Every sentence of Manifold that a user can see: errors, log lines, events, admission reviews, lint, help texts, notes of the chart.
`cargo xtask messages` generates this file from the sources. Read it as a whole after you change one. `{…}` is replaced at run time.
";

/// Sentences by the file that they come from.
type Messages = BTreeMap<String, Vec<String>>;

pub(crate) fn write() -> anyhow::Result<()> {
    fs::write(build::root().join(PAGE), page()?).with_context(|| format!("cannot write `{PAGE}`"))
}

pub(crate) fn check() -> anyhow::Result<()> {
    let written =
        fs::read_to_string(build::root().join(PAGE)).with_context(|| format!("cannot read `{PAGE}`"))?;
    let expected = page()?;
    if let Some(difference) = first_difference(&written, &expected) {
        bail!(
            "`{PAGE}` differs from the sources; regenerate it with `{FIX}`, then read what changed:\n{difference}"
        );
    }
    Ok(())
}

fn page() -> anyhow::Result<String> {
    let root = build::root();
    let mut messages = source::collect(&root)?;
    messages.extend(chart::collect(&root)?);
    let mut page = HEAD.to_owned();
    for (file, sentences) in messages.iter().filter(|(_, sentences)| !sentences.is_empty()) {
        let _ = writeln!(page, "\n{file}");
        for sentence in sentences {
            let _ = writeln!(page, "  {}", sentence.replace('\n', "\\n"));
        }
    }
    Ok(page)
}

fn first_difference(written: &str, expected: &str) -> Option<String> {
    if written == expected {
        return None;
    }
    let mut pairs = written.lines().zip(expected.lines());
    let (number, (was, is)) = pairs.by_ref().enumerate().find(|(_, (was, is))| was != is).unwrap_or_default();
    Some(format!("line {}: `{}` is now `{}`", number + 1, was.trim(), is.trim()))
}

fn read(root: &Path, name: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(name)).with_context(|| format!("cannot read `{name}`"))
}

/// At least three words; neither a rule of a firewall nor an expression.
fn is_sentence(text: &str) -> bool {
    const NOT_PROSE: [&str; 9] =
        [" -j ", "self.", "addr ", "add rule", "add table", "add chain", "flush chain", "e rule", " dport "];
    let words = text.split(|c: char| !c.is_alphabetic() && c != '\'').filter(|word| word.len() > 1).count();
    words >= 3 && text.contains(' ') && !NOT_PROSE.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_messages_is_what_the_sources_say() {
        check().unwrap();
    }

    #[test]
    fn a_difference_names_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").unwrap(), "line 2: `b` is now `c`");
    }

    #[test]
    fn keys_and_rules_of_a_firewall_are_no_sentences() {
        assert!(is_sentence("cannot read `{path}`: {error}; check its mode"));
        assert!(!is_sentence("cni-args"));
        assert!(!is_sentence("-A {chain} -s 127.0.0.1/32 {base} -j {set_mark}"));
    }
}
