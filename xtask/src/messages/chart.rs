//! Sentences of the chart: its notes, its refusals, and the messages of the admission policies.

use std::path::Path;

use serde::Deserialize as _;
use serde_yaml::Value;

use super::{Messages, read};
use crate::lint::text_files;

const NOTES: &str = "charts/manifold/templates/NOTES.txt";
const REFUSALS: &str = "charts/manifold/templates/_refusals.tpl";
const POLICIES: &str = "deploy/policies";

pub(super) fn collect(root: &Path) -> anyhow::Result<Messages> {
    let mut messages = Messages::new();
    let notes = read(root, NOTES)?;
    let lines = notes.lines().map(str::trim_end).filter(|line| !line.trim_start().starts_with("{{"));
    messages.insert(NOTES.to_owned(), lines.filter(|line| !line.is_empty()).map(str::to_owned).collect());
    messages.insert(REFUSALS.to_owned(), refusals(&read(root, REFUSALS)?));
    for file in text_files(root)?.iter().filter(|file| file.starts_with(POLICIES)) {
        let name = file.display().to_string();
        messages.insert(name.clone(), policy_messages(&read(root, &name)?)?);
    }
    Ok(messages)
}

fn refusals(template: &str) -> Vec<String> {
    let failing = template.lines().filter(|line| line.contains("{{- fail "));
    failing.filter_map(|line| Some(line.split_once('"')?.1.rsplit_once('"')?.0.to_owned())).collect()
}

fn policy_messages(manifest: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let document = Value::deserialize(document)?;
        let validations = document.get("spec").and_then(|spec| spec.get("validations"));
        let Some(validations) = validations.and_then(Value::as_sequence) else { continue };
        let texts = validations.iter().flat_map(|one| [one.get("message"), one.get("messageExpression")]);
        found.extend(texts.flatten().filter_map(Value::as_str).map(|text| text.trim().to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_text_that_the_template_fails_with() {
        let line = r#"{{- fail (printf "`a` is %d; lower it" (int .a)) -}}"#;
        assert_eq!(refusals(line), ["`a` is %d; lower it"]);
        assert_eq!(refusals("{{- if .a -}}"), Vec::<String>::new());
    }

    #[test]
    fn the_messages_of_a_policy_and_their_expressions_are_found() {
        let manifest = "spec: {validations: [{message: one two three, messageExpression: \"'x' + 'y'\"}]}\n---\nspec: {}\n";
        assert_eq!(policy_messages(manifest).unwrap(), ["one two three", "'x' + 'y'"]);
    }
}
