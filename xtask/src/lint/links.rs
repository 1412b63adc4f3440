//! Whether every relative link of the documentation leads to a file.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::spelling::text_files;
use crate::build;

pub(super) fn check() -> anyhow::Result<()> {
    let root = build::root();
    let mut findings = Vec::new();
    for file in text_files(&root)?.iter().filter(|file| file.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let dead = targets(&text).filter(|target| !root.join(folder).join(target).exists());
        findings.extend(dead.map(|target| format!("{}: `{target}` leads nowhere", file.display())));
    }
    if findings.is_empty() { Ok(()) } else { bail!("{}", findings.join("\n")) }
}

/// What `[…](TARGET)` names, without addresses of the web, places in the same file, and code.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let files = ends.filter_map(|(target, _)| target.split('#').next());
    files.filter(|target| !target.is_empty() && !target.contains([':', ' ', '\n', '[', '`']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_documentation_leads_to_a_file() {
        check().unwrap();
    }

    #[test]
    fn links_into_the_web_and_places_in_a_file_are_passed_over() {
        let text = "[a](b.md), [c](https://example.org/x) [d](#e) [f](../g.md#h) `x[1](y)`, [a-z](-a-z0-9]*[a-z0-9])";
        assert_eq!(targets(text).collect::<Vec<_>>(), ["b.md", "../g.md", "y"]);
    }
}
