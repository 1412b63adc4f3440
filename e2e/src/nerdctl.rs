//! Calls plugins as nerdctl does, by way of its OCI hooks, go-cni and libcni.
//!
//! What tells it from a runtime of Kubernetes: the lists have several plugins of ours; networks are attached at the same time; a
//! DEL without a namespace goes before every ADD, and another follows when the container's namespace is gone; the DEL's
//! `CNI_ARGS` are fewer than the ADD's, and may be none; a container's id begins with its namespace in containerd.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::netns::{HostNs, TestNetns};
use crate::runtime::{CallOutcome, Pod, Runtime};

/// What a DEL may fail with.
const GONE: [&str; 2] = ["no such file or directory", "not found"];

/// A container, and what was asked for with `nerdctl run`.
#[derive(Clone, Debug)]
pub struct Container {
    id: String,
    netns: PathBuf,
    pub hostname: String,
    pub ip: Option<String>,
    pub ip6: Option<String>,
    pub mac: Option<String>,
    /// Pairs of a port of the host and one of the container.
    pub ports: Vec<(u16, u16)>,
}

impl Container {
    pub fn new(netns: &TestNetns) -> Self {
        let id = format!("default-{}", Pod::named("default", netns.name()).container_id);
        let hostname = "box".to_owned();
        Self {
            id,
            netns: netns.path().to_path_buf(),
            hostname,
            ip: None,
            ip6: None,
            mac: None,
            ports: Vec::new(),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same container, started anew.
    #[must_use]
    pub fn in_namespace(&self, netns: &TestNetns) -> Self {
        Self { netns: netns.path().to_path_buf(), ..self.clone() }
    }

    fn capability_args(&self) -> Map<String, Value> {
        let mut offered = Map::new();
        if !self.ports.is_empty() {
            // The structure has no names for JSON, so they are as in the program.
            let port = |(host, own): &(u16, u16)| json!({"HostPort": host, "ContainerPort": own, "Protocol": "tcp", "HostIP": "0.0.0.0"});
            offered.insert("portMappings".into(), self.ports.iter().map(port).collect());
        }
        if let Some(ip6) = &self.ip6 {
            offered.insert("ips".into(), json!([ip6]));
        }
        offered
    }

    /// The pairs of `CNI_ARGS`. Only the hook before the start tells the name of the host.
    fn args(&self, hostname: Option<&str>) -> String {
        let asked = [
            ("IP", self.ip.as_deref()),
            ("MAC", self.mac.as_deref()),
            ("NERDCTL_CNI_DHCP_HOSTNAME", hostname),
        ];
        let mut pairs: Vec<String> =
            asked.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))).collect();
        if !pairs.is_empty() || self.ip6.is_some() {
            pairs.push("IgnoreUnknown=1".to_owned());
        }
        pairs.join(";")
    }
}

/// The networks that a container is to have: lists, each with the plugins of one folder.
#[derive(Debug)]
pub struct Nerdctl<'h> {
    host: &'h HostNs,
    plugins: PathBuf,
    lists: Vec<Value>,
    /// The results that libcni keeps on disk, by network and container.
    results: Mutex<BTreeMap<(String, String), Value>>,
}

/// What a call is about, besides the plugin.
struct Turn<'c> {
    container: &'c Container,
    ifname: String,
    netns: Option<PathBuf>,
    args: String,
}

impl<'h> Nerdctl<'h> {
    pub fn new(host: &'h HostNs, plugins: &Path, lists: &[Value]) -> Self {
        Self { host, plugins: plugins.to_path_buf(), lists: lists.to_vec(), results: Mutex::default() }
    }

    /// The hook `createRuntime`: the results of all networks, or the first error.
    pub fn create_runtime(&self, container: &Container) -> anyhow::Result<Vec<Value>> {
        let args = container.args(Some(&container.hostname));
        // The container may have been attached before containerd ended. Mostly it was not, and the outcome is ignored.
        let _ = self.remove(container, &args);
        thread::scope(|scope| {
            let attach = |(index, list)| {
                let ifname = format!("eth{index}");
                let turn =
                    Turn { container, ifname, netns: Some(container.netns.clone()), args: args.clone() };
                scope.spawn(move || self.add_list(list, &turn))
            };
            let running: Vec<_> = self.lists.iter().enumerate().map(attach).collect();
            let join = |attach: thread::ScopedJoinHandle<'_, _>| {
                attach.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// The hook `postStop`: the container's namespace is gone.
    pub fn post_stop(&self, container: &Container) -> anyhow::Result<()> {
        self.remove(container, &container.args(None))
    }

    fn remove(&self, container: &Container, args: &str) -> anyhow::Result<()> {
        for (index, list) in self.lists.iter().enumerate() {
            let turn = Turn { container, ifname: format!("eth{index}"), netns: None, args: args.to_owned() };
            if let Err(error) = self.del_list(list, &turn)
                && !GONE.iter().any(|words| format!("{error:#}").contains(words))
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// libcni: each plugin gets the result of the one before it; the last result is kept.
    fn add_list(&self, list: &Value, turn: &Turn<'_>) -> anyhow::Result<Value> {
        let mut result = None;
        for plugin in plugins_of(list) {
            let outcome = self.call("ADD", list, plugin, turn, result.take())?;
            result = Some(outcome.result().with_context(|| format!("ADD of {plugin}: {outcome}"))?);
        }
        let result = result.context("a list without plugins")?;
        self.results().insert(key_of(list, turn), result.clone());
        Ok(result)
    }

    /// libcni: backwards, each with the result that was kept, up to the first error.
    fn del_list(&self, list: &Value, turn: &Turn<'_>) -> anyhow::Result<()> {
        let kept = self.results().get(&key_of(list, turn)).cloned();
        for plugin in plugins_of(list).iter().rev() {
            let outcome = self.call("DEL", list, plugin, turn, kept.clone())?;
            if !outcome.succeeded() {
                bail!("DEL of {plugin}: {outcome}");
            }
        }
        self.results().remove(&key_of(list, turn));
        Ok(())
    }

    fn call(
        &self,
        verb: &str,
        list: &Value,
        plugin: &Value,
        turn: &Turn<'_>,
        previous: Option<Value>,
    ) -> anyhow::Result<CallOutcome> {
        let one = json!({"cniVersion": list["cniVersion"], "name": list["name"], "plugins": [plugin]});
        let kind = plugin.get("type").and_then(Value::as_str).context("a plugin without a type")?;
        let mut runtime = Runtime::new(self.plugins.join(kind), &one.to_string(), self.host)?;
        runtime.pass_annotations = false;
        runtime.env = vec![("CNI_ARGS".into(), OsString::from(&turn.args))];
        let mut pod = Pod::named("default", "box");
        pod.container_id.clone_from(&turn.container.id);
        pod.netns.clone_from(&turn.netns);
        pod.ifname.clone_from(&turn.ifname);
        pod.capability_args = turn.container.capability_args();
        runtime.call(verb, Some(&pod), runtime.attachment_input(&pod, previous))
    }

    fn results(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Value>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plugins_of(list: &Value) -> &[Value] {
    list.get("plugins").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn key_of(list: &Value, turn: &Turn<'_>) -> (String, String) {
    let name = list.get("name").and_then(Value::as_str).unwrap_or_default();
    (name.to_owned(), format!("{}-{}", turn.container.id, turn.ifname))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_those_that_were_asked_for_and_at_the_end_perhaps_none() {
        let netns = TestNetns::new().unwrap();
        let mut container = Container::new(&netns);
        assert_eq!(container.args(None), "");
        assert_eq!(container.args(Some("box")), "NERDCTL_CNI_DHCP_HOSTNAME=box;IgnoreUnknown=1");
        container.ip = Some("10.4.0.9".to_owned());
        container.mac = Some("02:00:00:00:00:09".to_owned());
        assert_eq!(container.args(None), "IP=10.4.0.9;MAC=02:00:00:00:00:09;IgnoreUnknown=1");
        container.ports = vec![(8080, 80)];
        assert_eq!(container.capability_args()["portMappings"][0]["HostPort"], 8080);
    }
}
