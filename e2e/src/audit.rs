//! The API server's own record of who wrote what, and what it was refused.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use crate::janitor::Scratch;

/// The record of one user's requests; made before the server, which is started with [`Audit::flags`].
#[derive(Debug)]
pub struct Audit {
    folder: Scratch,
}

/// One answered request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub verb: String,
    /// With its subresource, as `network-attachment-definitions/status`.
    pub resource: String,
    pub object: String,
    pub code: u64,
    /// When it was answered, as the server writes it (RFC 3339).
    pub at: String,
}

impl Entry {
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }
}

impl Audit {
    pub fn of(user: &str) -> anyhow::Result<Self> {
        let folder = Scratch::new("audit").context("cannot make a temporary folder")?;
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [user]}, {"level": "None"}],
        });
        fs::write(folder.join("policy.yaml"), policy.to_string()).context("cannot write an audit policy")?;
        Ok(Self { folder })
    }

    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.folder.join("policy.yaml").display()),
            format!("--audit-log-path={}", self.log().display()),
            // An entry is in the file before its answer is on the way.
            "--audit-log-mode=blocking".into(),
        ]
    }

    /// Everything so far, oldest first.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| log.get(..end).unwrap_or_default());
        whole
            .lines()
            .map(|line| Ok(read(&serde_json::from_str(line).context("an audit line is not JSON")?)))
            .collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }
}

fn read(line: &Value) -> Entry {
    let text = |at: &str| line.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resource = match text("/objectRef/subresource") {
        none if none.is_empty() => text("/objectRef/resource"),
        below => format!("{}/{below}", text("/objectRef/resource")),
    };
    Entry {
        verb: text("/verb"),
        resource,
        object: format!("{}/{}", text("/objectRef/namespace"), text("/objectRef/name")),
        code: line.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
        at: text("/stageTimestamp"),
    }
}
