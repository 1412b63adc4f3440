//! Manifold put on every node by hand, as the node agent would: for tests that bring an executable of their own.
//!
//! The executable, the configuration entry, a token bound to the node, and as default network a bridge over the node's pod
//! CIDR, with routes to the other nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Cluster, Executables, Node, address};
use crate::controller::NAMESPACE;
use crate::executable;
use crate::kubeconfig::{self, User};
use crate::project;

/// What is applied, in this order.
const MANIFESTS: [&str; 4] = ["crds/yaml", "deploy/cluster/namespace.yaml", "deploy/rbac", "deploy/policies"];
const ACCOUNT: &str = "manifold-shim";
const CONFLIST: &str = "/etc/cni/net.d/00-manifold.conflist";
const DEFAULT_NETWORK: &str = "/etc/cni/manifold/default.conflist";
/// As it is called below the CNI folder.
const SECRETS: &str = "/etc/cni/net.d/manifold.d";

impl Cluster {
    /// Definitions, rights and policies, every node, then the controller as its manifests have it.
    pub fn install_by_hand(&self, executables: &Executables) -> anyhow::Result<()> {
        self.load(executables)?;
        for manifest in MANIFESTS {
            let path = project::root().join(manifest).display().to_string();
            self.kubectl(&["apply", "--server-side", "-f", &path])?;
        }
        self.wait("the definitions of networks to be served", || {
            let path = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions?limit=1";
            Ok(self.client().get(path)?.ok().then_some(()))
        })?;
        self.nodes().iter().try_for_each(|node| self.install_on(node, &executables.shim))?;
        self.route_pods()?;
        let manifests = project::root().join("deploy/cluster").display().to_string();
        self.kubectl(&["apply", "--server-side", "-f", &manifests]).map(drop)
    }

    /// Returns when the nodes are ready and the controller answers.
    pub fn wait_by_hand(&self) -> anyhow::Result<()> {
        self.wait_ready()?;
        let patience = format!("--timeout={}s", super::PATIENCE.as_secs());
        let words =
            ["rollout", "status", "deployment/manifold-controller", "--namespace", NAMESPACE, &patience];
        self.kubectl(&words).map(drop)
    }

    fn install_on(&self, node: &Node, shim: &Path) -> anyhow::Result<()> {
        let target = node.path("/opt/cni/bin/manifold");
        fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
        fs::copy(shim, &target).with_context(|| format!("cannot copy `{}`", shim.display()))?;
        // containerd before 2.0 runs it in every pod.
        executable::install(&target, &node.path("/opt/cni/bin"), &["loopback"])?;
        self.write_credentials(node)?;
        node.write(DEFAULT_NETWORK, &default_network(&self.pod_cidr(node)?).to_string())?;
        // Last: from now on the node takes pods.
        node.write(CONFLIST, &entry().to_string())
    }

    /// A token bound to the node, which is what the policies ask of it, and a kubeconfig that names it.
    fn write_credentials(&self, node: &Node) -> anyhow::Result<()> {
        let object = self.get(&format!("/api/v1/nodes/{}", node.name()))?.context("the node is not there")?;
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).context("a node has a UID")?;
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": 86400,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": uid},
            },
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token");
        let answer = self.client().send("POST", &path, &request)?;
        let token = answer.pointer("/status/token").and_then(Value::as_str).context("there is no token")?;
        let folder = node.path(SECRETS);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        kubeconfig::write_secret(&folder.join("token"), token)?;
        let user = User::TokenFile(Path::new("/etc/cni/net.d/manifold.d/token"));
        kubeconfig::write_for(
            &folder.join("kubeconfig"),
            address(),
            &self.control_plane().authority()?,
            &user,
        )
    }

    /// Routes from every machine to every node's pods. The control plane's are the bed's own; those of the nodes are what
    /// the built-in default network brings.
    pub fn route_pods(&self) -> anyhow::Result<()> {
        self.route_control_plane()?;
        for node in self.nodes() {
            for other in self.nodes().iter().filter(|other| other.name() != node.name()) {
                node.exec(&["ip", "route", "replace", &self.pod_cidr(other)?, "via", &other.address()])?;
            }
        }
        Ok(())
    }

    /// Without them the API server reaches no webhook.
    pub fn route_control_plane(&self) -> anyhow::Result<()> {
        for node in self.nodes() {
            let words = ["ip", "route", "replace", &self.pod_cidr(node)?, "via", &node.address()];
            self.control_plane().machine().exec(&words)?;
        }
        Ok(())
    }

    /// Whether the node's network was brought by hand: nobody but the bed mends its routes then.
    pub(super) fn is_by_hand(&self, node: &Node) -> bool {
        node.path(DEFAULT_NETWORK).exists()
    }
}

fn entry() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "manifold",
        "plugins": [{
            "type": "manifold",
            "capabilities": {"io.kubernetes.cri.pod-annotations": true, "portMappings": true},
            "kubeconfig": format!("{SECRETS}/kubeconfig"),
            "clusterNetwork": DEFAULT_NETWORK,
            "multusNamespace": NAMESPACE,
            "confDir": "/etc/cni/net.d",
        }],
    })
}

fn default_network(cidr: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "cluster-wide-network",
        "plugins": [
            {
                "type": "bridge", "bridge": "mfd0", "isGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": cidr}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}
