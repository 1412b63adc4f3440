//! Waiting for what a cluster brings about: always for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Cluster, Node};

/// What has not come about by then never will, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Two requests a second from each waiting test cost nothing.
const PACE: Duration = Duration::from_millis(200);

impl Cluster {
    /// Returns what `look` finds. While it finds nothing, or cannot look, it looks again.
    pub fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = look();
            if let Ok(Some(found)) = found {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let why = found.err().map(|error| format!(": {error:#}")).unwrap_or_default();
                bail!("{what}: not within {PATIENCE:?}{why}");
            }
            thread::sleep(PACE);
        }
    }

    /// An object; `None` when there is none.
    pub fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.client().get(path)?;
        match answer.status {
            404 => Ok(None),
            _ if answer.ok() => answer.json().map(Some),
            status => bail!("GET {path} was refused with {status}: {}", answer.text()),
        }
    }

    /// The items of a list.
    pub fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.get(path)?.with_context(|| format!("there is no `{path}`"))?;
        Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// The range that the control plane gave to a node for its pods.
    pub fn pod_cidr(&self, node: &Node) -> anyhow::Result<String> {
        let path = format!("/api/v1/nodes/{}", node.name());
        self.wait(&format!("the pod CIDR of `{}`", node.name()), || {
            node.daemon("kubelet").must_run()?;
            let object = self.get(&path)?;
            let cidr = object.as_ref().and_then(|n| n.pointer("/spec/podCIDR")).and_then(Value::as_str);
            Ok(cidr.map(str::to_owned))
        })
    }

    /// Returns when every node says that it is ready.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        self.nodes().iter().try_for_each(|node| self.wait_node(node, true))
    }

    pub fn wait_node(&self, node: &Node, ready: bool) -> anyhow::Result<()> {
        let path = format!("/api/v1/nodes/{}", node.name());
        let word = if ready { "ready" } else { "not ready" };
        self.wait(&format!("`{}` to be {word}", node.name()), || {
            let object = self.get(&path)?.unwrap_or_default();
            Ok((condition(&object, "Ready").as_deref() == Some("True")) == ready).map(|is| is.then_some(()))
        })
    }
}

/// The status of a condition of an object: `True`, `False` or `Unknown`.
pub(super) fn condition(object: &Value, kind: &str) -> Option<String> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|c| c.get("type").and_then(Value::as_str) == Some(kind))?;
    found.get("status")?.as_str().map(str::to_owned)
}
