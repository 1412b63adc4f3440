//! Calls a CNI plugin as a container runtime does: the same environment, the same bytes on stdin, the same patience.
//!
//! The configuration is a conflist with one plugin, or a bare plugin; what the plugin gets is derived from it as
//! libcni derives it (`capabilities` stay in, as with libcni). Results of ADD are kept and come back as `prevResult`.
//! Nothing is checked here: a call's outcome is handed back whole, also when it is nonsense.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::netns::HostNs;

mod execute;
mod outcome;
mod pod;

pub use outcome::CallOutcome;
pub use pod::Pod;

/// The capability through which containerd hands over a pod's annotations.
pub const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// A runtime with one network configured.
#[derive(Debug)]
pub struct Runtime<'h> {
    pub executable: PathBuf,
    pub cni_path: Vec<PathBuf>,
    /// Whether annotations are handed over, to a configuration that declares the capability.
    pub pass_annotations: bool,
    /// More environment variables for every call.
    pub env: Vec<(OsString, OsString)>,
    /// When a call's process group is killed.
    pub patience: Duration,
    host: &'h HostNs,
    /// The one plugin's object, with the list's name and version.
    plugin: Map<String, Value>,
    results: Mutex<BTreeMap<(String, String), Value>>,
    calls: AtomicU32,
}

impl<'h> Runtime<'h> {
    pub fn new(
        executable: impl Into<PathBuf>,
        configuration: &str,
        host: &'h HostNs,
    ) -> anyhow::Result<Self> {
        let executable = executable.into();
        let beside = executable.parent().map(Path::to_path_buf).context("the executable has no folder")?;
        Ok(Self {
            executable,
            cni_path: vec![beside],
            pass_annotations: true,
            env: Vec::new(),
            patience: Duration::from_secs(150),
            host,
            plugin: the_one_plugin(configuration)?,
            results: Mutex::default(),
            calls: AtomicU32::new(0),
        })
    }

    pub fn add(&self, pod: &Pod) -> anyhow::Result<CallOutcome> {
        let outcome = self.call("ADD", Some(pod), self.attachment_input(pod, None))?;
        if let Some(result) = outcome.result() {
            self.results().insert(pod.key(), result);
        }
        Ok(outcome)
    }

    /// Also without an earlier ADD, and as often as one likes. The result is forgotten when the plugin succeeds.
    pub fn del(&self, pod: &Pod) -> anyhow::Result<CallOutcome> {
        let input = self.attachment_input(pod, self.result_of(pod));
        let outcome = self.call("DEL", Some(pod), input)?;
        if outcome.succeeded() {
            self.results().remove(&pod.key());
        }
        Ok(outcome)
    }

    pub fn check(&self, pod: &Pod) -> anyhow::Result<CallOutcome> {
        self.call("CHECK", Some(pod), self.attachment_input(pod, self.result_of(pod)))
    }

    pub fn status(&self) -> anyhow::Result<CallOutcome> {
        self.call("STATUS", None, Value::from(self.plugin.clone()))
    }

    /// `keep`: pairs of container id and interface. Like libcni, it writes them under the draft's key too.
    pub fn gc(&self, keep: &[(&str, &str)]) -> anyhow::Result<CallOutcome> {
        let keep: Vec<Value> =
            keep.iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
        let mut input = self.plugin.clone();
        input.insert("cni.dev/valid-attachments".into(), keep.clone().into());
        input.insert("cni.dev/attachments".into(), keep.into());
        self.call("GC", None, input.into())
    }

    pub fn version(&self) -> anyhow::Result<CallOutcome> {
        self.call("VERSION", None, json!({"cniVersion": self.plugin.get("cniVersion")}))
    }

    /// What stdin would be for this pod.
    pub fn attachment_input(&self, pod: &Pod, previous: Option<Value>) -> Value {
        let mut input = self.plugin.clone();
        let runtime_config = self.runtime_config(pod);
        if !runtime_config.is_empty() {
            input.insert("runtimeConfig".into(), runtime_config.into());
        }
        if let Some(previous) = previous {
            input.insert("prevResult".into(), previous);
        }
        input.into()
    }

    /// The result of the last successful ADD.
    pub fn result_of(&self, pod: &Pod) -> Option<Value> {
        self.results().get(&pod.key()).cloned()
    }

    /// Any verb with any input: for what a well-behaved runtime never sends.
    pub fn call(&self, verb: &str, pod: Option<&Pod>, input: Value) -> anyhow::Result<CallOutcome> {
        let variables = self.environment(verb, pod)?;
        execute::run(&self.executable, &variables, input.to_string().as_bytes(), self.host, self.patience)
    }

    /// The whole environment of a call.
    pub fn environment(&self, verb: &str, pod: Option<&Pod>) -> anyhow::Result<Vec<(OsString, OsString)>> {
        let path = std::env::join_paths(&self.cni_path).context("a folder of CNI_PATH holds a colon")?;
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("CNI_COMMAND".into(), verb.into()),
            ("CNI_PATH".into(), path),
        ];
        if let Some(pod) = pod {
            let turn = self.calls.fetch_add(1, Ordering::Relaxed) as usize;
            variables.extend(pod.variables(turn));
        }
        variables.extend(self.env.iter().cloned());
        Ok(variables)
    }

    fn runtime_config(&self, pod: &Pod) -> Map<String, Value> {
        let declared = |key: &str| {
            let capability = self.plugin.get("capabilities").and_then(|all| all.get(key));
            capability == Some(&Value::Bool(true))
        };
        let mut offered = pod.capability_args.clone();
        if self.pass_annotations {
            offered.insert(ANNOTATIONS.into(), json!(pod.annotations));
        }
        offered.into_iter().filter(|(key, _)| declared(key)).collect()
    }

    fn results(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Value>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn the_one_plugin(configuration: &str) -> anyhow::Result<Map<String, Value>> {
    let whole: Value = serde_json::from_str(configuration).context("the configuration is not JSON")?;
    let Value::Object(whole) = whole else { bail!("the configuration is not an object") };
    let Some(plugins) = whole.get("plugins") else { return Ok(whole) };
    let [Value::Object(plugin)] = plugins.as_array().map(Vec::as_slice).unwrap_or_default() else {
        bail!("this runtime runs lists of exactly one plugin");
    };
    let mut plugin = plugin.clone();
    for key in ["name", "cniVersion"] {
        plugin.insert(key.into(), whole.get(key).cloned().unwrap_or_default());
    }
    // These are the runtime's own words in a request, never the configuration's.
    plugin.retain(|key, _| !key.starts_with("cni.dev/") && key != "prevResult" && key != "runtimeConfig");
    Ok(plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_and_version_replace_the_plugins() {
        let plugin = the_one_plugin(
            r#"{"cniVersion": "1.0.0", "name": "outer", "plugins":
                [{"type": "x", "name": "inner", "cni.dev/own": 1, "prevResult": {}, "foo": [1]}]}"#,
        );
        let expected = json!({"type": "x", "name": "outer", "cniVersion": "1.0.0", "foo": [1]});
        assert_eq!(Value::from(plugin.unwrap()), expected);
    }

    #[test]
    fn only_declared_capabilities_are_served() {
        let host = HostNs::new().unwrap();
        let configuration =
            format!(r#"{{"type": "x", "capabilities": {{"{ANNOTATIONS}": true, "mac": false}}}}"#);
        let mut runtime = Runtime::new("/opt/x", &configuration, &host).unwrap();
        let mut pod = Pod::named("shop", "cart").annotated("a", "b");
        pod.capability_args.insert("mac".into(), json!("02:00:00:00:00:01"));
        let config =
            |runtime: &Runtime<'_>| runtime.attachment_input(&pod, None).get("runtimeConfig").cloned();
        assert_eq!(config(&runtime), Some(json!({ANNOTATIONS: {"a": "b"}})));
        runtime.pass_annotations = false;
        assert_eq!(config(&runtime), None);
    }
}
