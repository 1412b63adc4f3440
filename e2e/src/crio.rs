//! Calls a plugin as CRI-O does, by way of ocicni and libcni.
//!
//! What tells it from containerd: it passes no annotations of the pod; with a list of 0.4.0 or later it calls CHECK right after
//! each ADD, and a sandbox whose CHECK fails is taken down again and does not start; at its own restart it clears what is dead
//! (GC, from 1.1.0 on) and calls CHECK for every sandbox, and forgets the addresses of those whose CHECK fails, so that the
//! kubelet reports their pods without an address.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::netns::HostNs;
use crate::runtime::{CallOutcome, Pod, Runtime};

/// A CRI-O with one network configured.
#[derive(Debug)]
pub struct Crio<'h> {
    pub runtime: Runtime<'h>,
    /// The version of the list, which decides about CHECK and GC.
    version: String,
    sandboxes: BTreeMap<String, Sandbox>,
}

#[derive(Debug)]
struct Sandbox {
    pod: Pod,
    /// What the kubelet is told.
    addresses: Vec<String>,
}

impl<'h> Crio<'h> {
    pub fn new(
        executable: impl Into<PathBuf>,
        configuration: &str,
        host: &'h HostNs,
    ) -> anyhow::Result<Self> {
        let mut runtime = Runtime::new(executable, configuration, host)?;
        runtime.pass_annotations = false;
        let list: Value = serde_json::from_str(configuration)?;
        let version = list.get("cniVersion").and_then(Value::as_str).unwrap_or("0.1.0").to_owned();
        Ok(Self { runtime, version, sandboxes: BTreeMap::new() })
    }

    /// RunPodSandbox: ADD, then CHECK. The outcome is that of the call that decided; what failed is taken down.
    pub fn run_pod_sandbox(&mut self, pod: &Pod) -> anyhow::Result<CallOutcome> {
        let added = self.runtime.add(pod)?;
        let Some(result) = added.result() else {
            // Whatever became of the ADD.
            self.runtime.del(pod)?;
            return Ok(added);
        };
        if self.checks() {
            let checked = self.runtime.check(pod)?;
            if !checked.succeeded() {
                self.runtime.del(pod)?;
                return Ok(checked);
            }
        }
        let sandbox = Sandbox { pod: pod.clone(), addresses: addresses(&result) };
        self.sandboxes.insert(pod.container_id.clone(), sandbox);
        Ok(added)
    }

    /// StopPodSandbox: DEL. The sandbox is forgotten when it succeeds.
    pub fn stop_pod_sandbox(&mut self, pod: &Pod) -> anyhow::Result<CallOutcome> {
        let outcome = self.runtime.del(pod)?;
        if outcome.succeeded() {
            self.sandboxes.remove(&pod.container_id);
        }
        Ok(outcome)
    }

    /// It starts anew: GC with what is alive, then CHECK of every sandbox. Each call that failed.
    pub fn restart(&mut self) -> anyhow::Result<Vec<CallOutcome>> {
        let mut failed = Vec::new();
        if self.clears() {
            let alive: Vec<(&str, &str)> = self
                .sandboxes
                .values()
                .map(|s| (s.pod.container_id.as_str(), s.pod.ifname.as_str()))
                .collect();
            failed.extend(Some(self.runtime.gc(&alive)?).filter(|outcome| !outcome.succeeded()));
        }
        for sandbox in self.sandboxes.values_mut().filter(|_| at_least(&self.version, (0, 4))) {
            let outcome = self.runtime.check(&sandbox.pod)?;
            if !outcome.succeeded() {
                sandbox.addresses.clear();
                failed.push(outcome);
            }
        }
        Ok(failed)
    }

    /// What PodSandboxStatus says of the pod's addresses.
    pub fn addresses(&self, pod: &Pod) -> &[String] {
        self.sandboxes.get(&pod.container_id).map_or(&[], |sandbox| &sandbox.addresses)
    }

    /// A sandbox that another release or another plugin attached: known, without a cached result.
    pub fn knows_since_before(&mut self, pod: &Pod, address: &str) {
        let sandbox = Sandbox { pod: pod.clone(), addresses: vec![address.to_owned()] };
        self.sandboxes.insert(pod.container_id.clone(), sandbox);
    }

    fn checks(&self) -> bool {
        at_least(&self.version, (0, 4))
    }

    fn clears(&self) -> bool {
        at_least(&self.version, (1, 1))
    }
}

fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= wanted
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    ips.filter_map(|ip| ip.get("address")?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_and_gc_come_with_their_versions() {
        let host = HostNs::new().unwrap();
        for (version, checks, clears) in
            [("0.3.1", false, false), ("0.4.0", true, false), ("1.0.0", true, false), ("1.1.0", true, true)]
        {
            let list = format!(r#"{{"cniVersion": "{version}", "name": "n", "plugins": [{{"type": "x"}}]}}"#);
            let crio = Crio::new("/opt/x", &list, &host).unwrap();
            assert_eq!((crio.checks(), crio.clears()), (checks, clears), "{version}");
            assert!(!crio.runtime.pass_annotations);
        }
    }
}
