//! The documents of a YAML text. A broken one (a template, a slip) takes no other of the file with it.

use serde::Deserialize;
use serde_json::Value;

/// Why a document is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotYaml {
    pub(super) why: String,
    /// Of the file, from 1.
    pub(super) line: Option<usize>,
}

impl NotYaml {
    fn new(e: &serde_yaml::Error, lines_before: usize) -> Self {
        let text = e.to_string();
        // The position is told beside the reason, so it is cut off there.
        let why = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self { why, line: e.location().map(|at| lines_before + at.line()) }
    }
}

pub(super) fn read(bytes: &[u8]) -> Vec<Result<Value, NotYaml>> {
    let whole: Result<Vec<Value>, serde_yaml::Error> =
        serde_yaml::Deserializer::from_slice(bytes).map(Value::deserialize).collect();
    match (whole, std::str::from_utf8(bytes)) {
        (Ok(values), _) => values.into_iter().map(Ok).collect(),
        (Err(e), Err(_)) => vec![Err(NotYaml::new(&e, 0))],
        // The parser gives up at the first slip, so each document is given to it alone.
        (Err(_), Ok(text)) => parts(text).map(|(before, part)| alone(before, part)).collect(),
    }
}

fn alone(lines_before: usize, part: &str) -> Result<Value, NotYaml> {
    serde_yaml::from_str(part).map_err(|e| NotYaml::new(&e, lines_before))
}

/// The texts between the lines that begin with `---`, which end a document wherever they are. Each comes with the number of
/// lines before it; those that say nothing are left out.
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut starts = vec![(0, 0)];
    let mut at = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            starts.push((n, at - line.len()));
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(_, at)| *at).chain([text.len()]).collect();
    let parts = starts.into_iter().zip(ends).filter_map(|((n, from), to)| Some((n, text.get(from..to)?)));
    parts.filter(|(_, part)| {
        part.lines().any(|line| !matches!(line.trim(), "" | "---") && !line.trim_start().starts_with('#'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Option<usize>]) {
        let found: Vec<Option<usize>> = read(text.as_bytes())
            .into_iter()
            .map(|document| document.map_or_else(|e| e.line, |value| value["a"].as_u64().map(|_| 0)))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    // Shows part of: COMPAT-8
    #[test]
    fn a_broken_document_leaves_the_others() {
        check("a: 1\n---\na: 2\n", &[Some(0), Some(0)]);
        check("a: 1\n---\na: [\n---\na: 2\n", &[Some(0), Some(4), Some(0)]);
        check("---\na: {{ .Values.a }}\n--- # second\na: 2\n---\n", &[Some(2), Some(0)]);
        check("# only words\n---\na: ]\n---\na: |\n  --- no end\n---\na: 3", &[Some(3), None, Some(0)]);
        assert_eq!(read(b"a: \xff\n").len(), 1);
    }
}
