//! The wording of the documentation and of the messages: plain words of the field, by the list in `docs/wording.csv`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::spelling::text_files;
use crate::{build, messages};

const LIST: &str = "docs/wording.csv";
/// Requirements keep their words: tests and claims cite them.
const REQUIREMENTS: [&str; 3] = ["docs/spec", "docs/failures.md", "docs/conformance"];
/// Texts beside the Markdown files.
const OTHER_TEXTS: [&str; 4] = [
    messages::PAGE,
    "charts/manifold/values.yaml",
    "charts/manifold/values.schema.json",
    "charts/manifold/templates/NOTES.txt",
];

pub(super) fn check() -> anyhow::Result<()> {
    let root = build::root();
    let list = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read `{LIST}`"))?;
    let phrases = parse(&list)?;
    let mut findings = Vec::new();
    for file in text_files(&root)?.iter().filter(|file| is_checked(file)) {
        let name = file.display();
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{name}`"))?;
        findings.extend(find(&text, &phrases).iter().map(|finding| format!("{name}:{finding}")));
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("words that `{LIST}` advises against:\n{}", findings.join("\n"));
}

fn is_checked(file: &Path) -> bool {
    let is_documentation = file.extension().is_some_and(|extension| extension == "md");
    let is_other = OTHER_TEXTS.iter().any(|other| file == Path::new(other));
    (is_documentation || is_other) && !REQUIREMENTS.iter().any(|requirement| file.starts_with(requirement))
}

/// A phrase, and what to write instead.
type Phrase<'a> = (&'a str, &'a str);

fn parse(list: &str) -> anyhow::Result<Vec<Phrase<'_>>> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(',').with_context(|| format!("`{LIST}`: `{line}` has no comma")))
        .collect()
}

/// A line for each, as `LINE: …`. Code is left out: blocks between fences, indented blocks, and what is in backquotes.
fn find(text: &str, phrases: &[Phrase<'_>]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        if in_block || is_fence || line.starts_with("    ") {
            continue;
        }
        let prose = without_code(line).to_lowercase();
        for (phrase, instead) in phrases.iter().filter(|(phrase, _)| contains_words(&prose, phrase)) {
            findings.push(format!("{}: `{phrase}`; write: {instead}", number + 1));
        }
    }
    findings
}

/// Without what is in backquotes, without names in braces, and empty for a line that is one path.
fn without_code(line: &str) -> String {
    if !line.trim().contains(' ') {
        return String::new();
    }
    let prose = line.split('`').step_by(2).collect::<Vec<_>>().join(" ` ");
    let parts = prose.split('{').enumerate().map(|(number, part)| match number {
        0 => part,
        _ => part.split_once('}').map_or("", |(_, rest)| rest),
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn contains_words(text: &str, phrase: &str) -> bool {
    let is_edge = |character: Option<char>| !character.is_some_and(|c| c.is_alphanumeric() || c == '-');
    text.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + phrase.len()..));
        is_edge(before.and_then(|text| text.chars().next_back()))
            && is_edge(after.and_then(|text| text.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_and_messages_use_plain_words() {
        check().unwrap();
    }

    #[test]
    fn a_word_is_found_with_its_line_and_what_to_write_instead() {
        let phrases = parse("# list\nanew,again\nfor ever,forever\n").unwrap();
        let text = "fine\nMake it Anew, for ever.\n";
        assert_eq!(find(text, &phrases), ["2: `anew`; write: again", "2: `for ever`; write: forever"]);
    }

    #[test]
    fn parts_of_words_and_code_are_passed_over() {
        let phrases = parse("lies,is\n").unwrap();
        assert!(
            find(
                "it supplies families\ncrds/lies.rs\n{lies} a\n`lies`\n```\nlies\n```\n    lies\n",
                &phrases
            )
            .is_empty()
        );
    }

    #[test]
    fn a_line_without_an_alternative_is_refused() {
        assert!(parse("anew\n").is_err());
    }
}
