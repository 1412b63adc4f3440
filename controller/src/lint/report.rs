//! What is printed: lines as compilers print them, or one JSON object whose keys stay as they are.

use std::fmt::Write as _;

use manifold_plan::check_config::{Finding, Severity};
use serde::Serialize;

use super::gather::Text;

/// Everything that was found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) findings: Vec<Complaint>,
    pub(super) files: usize,
    pub(super) definitions: usize,
    /// Pods and what makes pods, whether they ask for networks or not.
    pub(super) pods: usize,
    /// Objects of other kinds, passed over.
    pub(super) others: usize,
}

/// One finding with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Complaint {
    severity: Severity,
    file: String,
    line: usize,
    column: usize,
    /// Absent where the document could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectName>,
    sentence: String,
    fix: String,
    /// Inside the text of `spec.config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<InConfig>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ObjectName {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct InConfig {
    pointer: String,
    line: usize,
    column: usize,
}

impl Complaint {
    pub(super) fn new(
        severity: Severity,
        file: &str,
        (line, column): (usize, usize),
        object: Option<ObjectName>,
        sentence: String,
        fix: String,
    ) -> Self {
        Self { severity, file: file.to_owned(), line, column, object, sentence, fix, config: None }
    }

    pub(super) fn of_finding(file: &str, at: (usize, usize), object: &ObjectName, finding: Finding) -> Self {
        let Finding { severity, pointer, line, column, sentence, fix, .. } = finding;
        let config = line.zip(column).map(|(line, column)| InConfig { pointer, line, column });
        Self { config, ..Self::new(severity, file, at, Some(object.clone()), sentence, fix) }
    }
}

impl Report {
    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    pub(super) fn fails(&self, strict: bool) -> bool {
        self.count(Severity::Error) > 0 || (strict && self.count(Severity::Warning) > 0)
    }

    /// File by file in the order they were named, and from the top of each.
    pub(super) fn sort(&mut self, texts: &[Text]) {
        let place = |file: &str| texts.iter().position(|text| text.file == file);
        self.findings.sort_by_cached_key(|f| (place(&f.file), f.line, f.column, f.severity));
    }

    pub(super) fn human(&self) -> String {
        let mut out = String::new();
        for Complaint { severity, file, line, column, object, sentence, fix, config } in &self.findings {
            let word = match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let who = object
                .as_ref()
                .map(|o| format!("{} {}/{}: ", o.kind, o.namespace, o.name))
                .unwrap_or_default();
            let at = match config {
                Some(InConfig { pointer, .. }) if !pointer.is_empty() => {
                    format!(", at `{pointer}` of `config`")
                }
                _ => String::new(),
            };
            // Writing to a text cannot fail.
            let _ = writeln!(out, "{file}:{line}:{column}: {word}: {who}{sentence}{at}\n    fix: {fix}");
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    fn summary(&self) -> String {
        let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        format!(
            "{}, {} in {}: {}, {}; {} skipped",
            count(self.count(Severity::Error), "error"),
            count(self.count(Severity::Warning), "warning"),
            count(self.files, "file"),
            count(self.definitions, "definition"),
            count(self.pods, "pod"),
            count(self.others, "other object"),
        )
    }

    pub(super) fn json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Whole<'a> {
            errors: usize,
            warnings: usize,
            #[serde(flatten)]
            report: &'a Report,
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let whole = Whole { errors, warnings, report: self };
        let mut text = serde_json::to_string_pretty(&whole).expect("keys of ours are text");
        text.push('\n');
        text
    }
}
