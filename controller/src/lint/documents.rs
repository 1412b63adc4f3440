//! The objects of a text: documents apart, lists unpacked, each with the lines it comes from.

use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

/// A text between two `---`. Its lines are those of the file, so places in it only need the number of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Of the file, from 1.
    pub(super) first_line: usize,
    pub(super) text: String,
}

/// What a document holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Kubernetes objects that this program knows.
    Objects { known: Vec<Object>, others: usize },
    /// Why it is no YAML, with line and column in the file.
    Broken { why: String, line: usize, column: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) value: Json,
}

/// Kinds that have something to check.
pub(super) const DEFINITION: &str = manifold_crds::keys::KIND;

pub(super) fn split(text: &str) -> Vec<Document> {
    let mut documents = vec![Document { first_line: 1, text: String::new() }];
    for (n, line) in text.split_inclusive('\n').enumerate() {
        if let Some(rest) = after_marker(line) {
            // Blanks in place of the marker keep the columns of what stands behind it.
            documents.push(Document { first_line: n + 1, text: format!("   {rest}") });
        } else if let Some(last) = documents.last_mut() {
            last.text.push_str(line);
        }
    }
    documents
}

fn after_marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---")?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
}

impl Document {
    pub(super) fn read(&self) -> Content {
        match serde_yaml::from_str::<Yaml>(&self.text) {
            Ok(value) => {
                let (mut known, mut others) = (Vec::new(), 0);
                unpack(value, &mut known, &mut others);
                Content::Objects { known, others }
            }
            Err(e) => {
                let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
                let whole = e.to_string();
                let why = whole.split(" at line ").next().unwrap_or(&whole);
                let line = self.first_line + line.saturating_sub(1);
                Content::Broken { why: manifold_cni::name::one_line(why), line, column: column.max(1) }
            }
        }
    }
}

fn unpack(value: Yaml, known: &mut Vec<Object>, others: &mut usize) {
    let text = |key: &str| value.get(key).and_then(Yaml::as_str).unwrap_or_default().to_owned();
    let kind = text("kind");
    if kind.ends_with("List") && value.get("items").is_some_and(Yaml::is_sequence) {
        let items = value.get("items").and_then(Yaml::as_sequence).cloned().unwrap_or_default();
        items.into_iter().for_each(|item| unpack(item, known, others));
        return;
    }
    // Keys that are no text are nothing that Kubernetes has; such an object is told where it is read.
    let json = serde_json::to_value(&value).ok();
    let known_kind = |json: &Json| kind == DEFINITION || crate::workload::template(&kind, json).is_some();
    if let Some(value) = json.filter(known_kind) {
        known.push(Object { kind, value });
    } else if !value.is_null() {
        *others += 1;
    }
}

impl Object {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.value.get("metadata")?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn name(&self) -> &str {
        self.metadata("name").or_else(|| self.metadata("generateName")).unwrap_or_default()
    }

    /// As kubectl would fill it in.
    pub(super) fn namespace(&self) -> &str {
        self.metadata("namespace").unwrap_or("default")
    }
}
