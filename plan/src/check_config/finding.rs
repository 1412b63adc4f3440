//! One thing that is wrong or odd: what, where, how to mend it. The webhook, `lint` and the `Valid` condition share it.

use std::fmt;

use manifold_cni::RawObject;
use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;
use serde::Serialize;

use super::place::Spots;
use crate::Refusal;

/// Where `config` stands in a definition.
pub(super) const CONFIG: &str = "spec.config";

/// Errors sort before warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No pod can be attached by this definition.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// Something about a definition that its author should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The field of the object: `spec.config`, or an annotation.
    pub field: String,
    /// JSON pointer inside the configuration; empty for the whole of it.
    pub pointer: String,
    /// Line and column in the configuration's text, from 1; columns count characters.
    pub line: Option<usize>,
    /// See `line`.
    pub column: Option<usize>,
    /// What is wrong.
    pub sentence: String,
    /// What to do about it.
    pub fix: String,
}

impl Finding {
    pub(super) fn annotation(key: &str, severity: Severity, sentence: impl fmt::Display, fix: &str) -> Self {
        Self {
            severity,
            field: format!("metadata.annotations[{key}]"),
            pointer: String::new(),
            line: None,
            column: None,
            sentence: format!("annotation `{}`: {sentence}", printable(key)),
            fix: fix.to_owned(),
        }
    }

    /// `(line 3, column 9)` with the pointer before it, as far as they are known.
    pub fn place(&self) -> String {
        let pointer = match self.pointer.as_str() {
            "" => String::new(),
            pointer => format!(", at `{}`", printable(pointer)),
        };
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{pointer} (line {line}, column {column})"),
            _ => pointer,
        }
    }

    /// The same as the shim and the webhook refuse by.
    pub fn refusal(&self) -> Refusal {
        let what = format!("{}{}", self.sentence, self.place());
        let what =
            if self.field == CONFIG { format!("the configuration is not valid: {what}") } else { what };
        Refusal::new(what, &self.fix)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}; {}", self.sentence, self.place(), self.fix)
    }
}

/// For a sentence that ends without one.
fn remedy(sentence: &str) -> &'static str {
    let takes = |what: &str| sentence.contains(&format!("but takes {what}"));
    match () {
        () if sentence.contains(" has string ") && (takes("`true`") || takes("a whole number")) => {
            "write it without the quotes"
        }
        () if takes("a string in quotes") => "put it into quotes",
        () if sentence.contains("but takes") => "write it in that form",
        () if sentence.contains("cannot be used") => "use another one",
        () => "correct it",
    }
}

/// A finding whose place in the text is not looked up yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    severity: Severity,
    pub(super) pointer: String,
    sentence: String,
    fix: String,
}

impl Draft {
    pub(super) fn error(pointer: &str, sentence: impl Into<String>) -> Self {
        Self::new(Severity::Error, pointer, sentence.into())
    }

    pub(super) fn warning(pointer: &str, sentence: impl Into<String>) -> Self {
        Self::new(Severity::Warning, pointer, sentence.into())
    }

    /// Sentences of the plugins' rules end with the remedy: `what is wrong; what to do`.
    fn new(severity: Severity, pointer: &str, sentence: String) -> Self {
        let whole = |s: &str| s.matches('`').count().is_multiple_of(2);
        let (sentence, fix) = match sentence.rsplit_once("; ") {
            Some((what, fix)) if whole(what) && whole(fix) => (what.to_owned(), fix.to_owned()),
            _ => {
                let fix = remedy(&sentence).to_owned();
                (sentence, fix)
            }
        };
        Self { severity, pointer: pointer.to_owned(), sentence, fix }
    }

    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The same, seen from the object that holds `prefix`.
    #[must_use]
    pub(super) fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }

    /// Where a key is missing, the one that was probably meant to be it.
    #[must_use]
    pub(super) fn or_misspelt(mut self, plugin: &RawObject) -> Self {
        let steps: Vec<&str> = self.pointer.split('/').skip(1).collect();
        let Some((last, parents)) = steps.split_last() else { return self };
        let mut object = plugin.clone();
        for step in parents {
            match object.get_as::<RawObject>(step) {
                Ok(Some(inner)) => object = inner,
                _ => return self,
            }
        }
        let near = |key: &&str| nearest(key, [*last]).is_some();
        if let Some(key) = object.keys().find(near).filter(|_| !object.contains(last)) {
            self.fix = format!("did you mean `{last}` instead of `{}`?", printable(key));
        }
        self
    }

    /// With line and column. A warning is mostly about a key, an error about what stands under it.
    pub(super) fn place(self, spots: &Spots) -> Finding {
        let at = match self.severity {
            Severity::Error => spots.of_value(&self.pointer),
            Severity::Warning => spots.of_key(&self.pointer),
        };
        Finding { line: at.map(|(line, _)| line), column: at.map(|(_, column)| column), ..self.unplaced() }
    }

    pub(super) fn unplaced(self) -> Finding {
        let Self { severity, pointer, sentence, fix } = self;
        Finding { severity, field: CONFIG.to_owned(), pointer, line: None, column: None, sentence, fix }
    }
}
