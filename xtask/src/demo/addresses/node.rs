//! A node of the demo: a Node object, a network namespace in the machine's place, and the plugin with a token bound to that node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use manifold_address_store::identity::NodeIdentity;
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::forward::Forward;
use manifold_e2e::kubeconfig::{self, User};
use manifold_e2e::mounts;
use manifold_e2e::netns::{HostNs, TestNetns};
use manifold_e2e::runtime::{ANNOTATIONS, CallOutcome, Pod, Runtime};
use serde_json::{Value, json};

use super::super::place::Place;
use super::NAMESPACE;

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// The plugin's account, and where the chart puts it.
const ACCOUNT: &str = "/api/v1/namespaces/manifold-system/serviceaccounts/manifold-shim/token";
/// Where plugins keep their state, and thus where the node's own folder is put while they run.
const STATE: &str = "/var/lib";

/// Dropped in this order: the way to the API server before the host it leads from.
pub(super) struct WiredNode<'a> {
    name: String,
    api: &'a ApiServer,
    shim: &'a Path,
    started: Vec<(Pod, TestNetns)>,
    place: Place,
    _forward: Forward,
    host: HostNs,
}

impl<'a> WiredNode<'a> {
    pub(super) fn new(api: &'a ApiServer, place: &Place, shim: &'a Path, name: &str) -> anyhow::Result<Self> {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let made = api.client().send("POST", "/api/v1/nodes", &object)?;
        let uid = text(&made, "/metadata/uid")?;
        fs::create_dir_all(place.folder()).context("cannot make a folder under `/run`")?;
        let host = HostNs::named(&place.netns(name), &place.folder().join(name))?;
        let forward = Forward::new(&host, api.port())?;
        let node = Self {
            name: name.to_owned(),
            api,
            shim,
            started: Vec::new(),
            place: place.clone(),
            _forward: forward,
            host,
        };
        node.log_in(&uid)?;
        Ok(node)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// One cable between the cards `eth1` of both.
    pub(super) fn wire_to(&self, other: &Self) -> anyhow::Result<()> {
        self.host.veth_to(other.host.netns(), "eth1", "eth1")
    }

    fn state(&self) -> PathBuf {
        self.host.folder().join("lib/cni/manifold")
    }

    /// What the node agent gives the plugin: a token that is bound to the Node object, and which object that is.
    fn log_in(&self, uid: &str) -> anyhow::Result<()> {
        let bound = json!({"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": uid});
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let answer = self.api.client().send("POST", ACCOUNT, &request)?;
        NodeIdentity { node: self.name.parse()?, uid: uid.parse()? }.write(&self.state())?;
        let folder = self.state().join("credentials");
        let token = folder.join("token");
        kubeconfig::write_secret(&token, &text(&answer, "/status/token")?)?;
        let user = User::TokenFile(&token);
        kubeconfig::write(&folder.join("kubeconfig"), self.api.port(), self.api.authority(), &user)
    }

    /// Makes a pod with this network and starts it; its address there.
    pub(super) fn start(&mut self, name: &str, network: &str) -> anyhow::Result<String> {
        let object = self.api.pod(NAMESPACE, name, &self.name, &[(NETWORKS, network)])?;
        let netns = TestNetns::named(&self.place.netns(name))?;
        let mut pod = Pod::new(&netns, NAMESPACE, name).annotated(NETWORKS, network);
        pod.uid = Some(text(&object, "/metadata/uid")?);
        let outcome = self.call(|runtime| runtime.add(&pod))?;
        ensure!(outcome.succeeded(), "{}", outcome.error_text().trim());
        self.started.push((pod, netns));
        self.address(name)
    }

    /// As the pod's annotation says it.
    fn address(&self, pod: &str) -> anyhow::Result<String> {
        let object = self.api.client().get(&pod_path(pod))?.json()?;
        let annotations = object.pointer("/metadata/annotations").and_then(|all| all.get(STATUS));
        let status = annotations.and_then(Value::as_str).context("the pod has no network-status")?;
        let status: Value = serde_json::from_str(status).context("the network-status is not JSON")?;
        text(&status, "/1/ips/0")
    }

    /// Deletes all pods that it runs, as their kubelet would.
    pub(super) fn stop_all(&mut self) -> anyhow::Result<()> {
        for (pod, _netns) in std::mem::take(&mut self.started) {
            let outcome = self.call(|runtime| runtime.del(&pod))?;
            ensure!(outcome.succeeded(), "DEL of pod `{}`: {}", pod.name, outcome.error_text().trim());
            self.forget(&pod.name)?;
        }
        Ok(())
    }

    /// Simulates a node that fails: no DEL runs on it, and its Node object and its pods are deleted at the API server.
    pub(super) fn take_away(self) -> anyhow::Result<()> {
        self.started.iter().try_for_each(|(pod, _)| self.forget(&pod.name))?;
        let path = format!("/api/v1/nodes/{}", self.name);
        self.api.client().call("DELETE", &path, "application/json", b"").map(drop)
    }

    fn forget(&self, pod: &str) -> anyhow::Result<()> {
        let path = format!("{}?gracePeriodSeconds=0", pod_path(pod));
        self.api.client().call("DELETE", &path, "application/json", b"").map(drop)
    }

    fn call(
        &self,
        verb: impl FnOnce(&Runtime<'_>) -> anyhow::Result<CallOutcome> + Send,
    ) -> anyhow::Result<CallOutcome> {
        let runtime = Runtime::new(self.shim, &self.entry().to_string(), &self.host)?;
        mounts::with_folder_over(Path::new(STATE), &self.host.folder().join("lib"), || verb(&runtime))?
    }

    /// The entry with which the runtime calls the plugin, and a default network of the node's own.
    fn entry(&self) -> Value {
        let number = self.name.trim_start_matches("node-");
        let default = json!({
            "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "subnet": format!("10.244.{number}.0/24")},
        });
        json!({"cniVersion": "1.1.0", "name": "manifold", "plugins": [{
            "type": "manifold", "capabilities": {ANNOTATIONS: true}, "delegates": [default],
            "kubeconfig": format!("{STATE}/cni/manifold/credentials/kubeconfig"),
        }]})
    }
}

fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}")
}

fn text(object: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("there is no `{pointer}` in {object}"))
}
