//! What fake delegates were asked, and when: the trace that they append to, read back.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// One call of a fake delegate.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    pub pid: u64,
    pub verb: String,
    /// The CNI variables, by name.
    pub env: Value,
    /// Stdin, as JSON; as a string if it was none.
    pub stdin: Value,
    /// The monotonic clock, in nanoseconds.
    pub start: u64,
    /// None: it did not come to its end.
    pub end: Option<u64>,
}

impl Traced {
    /// One key of stdin, or null.
    pub fn input(&self, pointer: &str) -> &Value {
        self.stdin.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A variable of the environment; empty if it was not set.
    pub fn var(&self, name: &str) -> &str {
        self.env.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// All calls in the order of their start. No file: no calls. A line without its end is one that is being written.
pub fn read(path: &Path) -> anyhow::Result<Vec<Traced>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the trace `{}`", path.display()))?;
    let mut calls: Vec<Traced> = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line).context("a line of the trace is not JSON")?;
        let number = |key: &str| line.get(key).and_then(Value::as_u64);
        let pid = number("pid").context("a line of the trace has no pid")?;
        match number("end") {
            None => calls.push(started(pid, &line)),
            end => {
                calls.iter_mut().rev().filter(|call| call.pid == pid).take(1).for_each(|call| call.end = end);
            }
        }
    }
    calls.sort_by_key(|call| call.start);
    Ok(calls)
}

/// The verbs, in the order of the calls' start: what most tests ask.
pub fn verbs(path: &Path) -> anyhow::Result<Vec<String>> {
    Ok(read(path)?.into_iter().map(|call| call.verb).collect())
}

fn started(pid: u64, line: &Value) -> Traced {
    let value = |key: &str| line.get(key).cloned().unwrap_or_default();
    Traced {
        pid,
        verb: value("verb").as_str().unwrap_or_default().to_string(),
        env: value("env"),
        stdin: value("stdin"),
        start: value("start").as_u64().unwrap_or_default(),
        end: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_being_written_is_not_read_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let line = r#"{"pid": 7, "verb": "ADD", "start": 1}"#;
        fs::write(&path, format!("{line}\n{}", &line[..20])).unwrap();
        assert_eq!(verbs(&path).unwrap(), ["ADD"]);
        fs::write(&path, format!("{line}\n{line}\n")).unwrap();
        assert_eq!(verbs(&path).unwrap(), ["ADD", "ADD"]);
    }
}
