//! Multus on the node, as its own manifests put it there: thin with a kubeconfig of its own, thick with its daemon.

use std::fs;

use anyhow::Context as _;
use manifold_e2e::cluster::address;
use serde_json::{Value, json};

use super::Parts;
use super::install::{Bed, PLUGINS};

/// The name of the daemon's process.
pub(super) const DAEMON: &str = "multus-daemon";
const ENTRY: &str = "/etc/cni/net.d/00-multus.conf";
const SECRETS: &str = "/etc/cni/net.d/multus.d";
/// Where a pod has its token.
const IN_CLUSTER: &str = "/run/secrets/kubernetes.io/serviceaccount";
const NAMESPACE: &str = "kube-system";

pub(super) fn thin(bed: &Bed, parts: &Parts) -> anyhow::Result<()> {
    let executable = parts.multus.as_ref().context("--multus was not given")?;
    put(bed, executable, "multus")?;
    credentials(bed, SECRETS)?;
    let kubeconfig = format!("{SECRETS}/kubeconfig");
    bed.node().write(&kubeconfig, &kubeconfig_text())?;
    let entry = json!({"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus", "logLevel": "error",
        "capabilities": {"portMappings": true}, "kubeconfig": kubeconfig, "delegates": [bed.podnet()?]});
    bed.node().write(ENTRY, &entry.to_string())
}

/// The daemon finds the default network in the runtime's folder, and writes the entry itself.
pub(super) fn thick(bed: &Bed, parts: &Parts) -> anyhow::Result<()> {
    let (shim, daemon) = parts.thick.as_ref().context("--multus-shim was not given")?;
    put(bed, shim, "multus-shim")?;
    credentials(bed, IN_CLUSTER)?;
    let config = json!({"cniVersion": "1.0.0", "logLevel": "error", "logToStderr": true,
        "cniConfigDir": "/etc/cni/net.d", "multusAutoconfigDir": "/etc/cni/net.d", "multusConfigFile": "auto",
        "socketDir": "/run/multus", "binDir": PLUGINS, "cniDir": "/var/lib/cni/multus"});
    let path = "/run/multus.d/daemon-config.json";
    bed.node().write(path, &config.to_string())?;
    let server = address();
    let words = [
        "env".to_owned(),
        format!("KUBERNETES_SERVICE_HOST={}", server.ip()),
        format!("KUBERNETES_SERVICE_PORT={}", server.port()),
        format!("MULTUS_NODE_NAME={}", bed.node().name()),
        daemon.display().to_string(),
        format!("-config={path}"),
    ];
    bed.node().run(DAEMON, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    bed.wait_file("/run/multus/multus.sock")?;
    bed.wait_file(ENTRY)
}

fn put(bed: &Bed, executable: &std::path::Path, name: &str) -> anyhow::Result<()> {
    let target = bed.node().path(PLUGINS).join(name);
    fs::copy(executable, &target).with_context(|| format!("cannot copy `{}`", executable.display()))?;
    Ok(())
}

/// The account, its rights, and a token of it with the authority beside.
fn credentials(bed: &Bed, folder: &str) -> anyhow::Result<()> {
    bed.definition_of_definitions()?;
    let all = ["serviceaccounts", "clusterroles", "clusterrolebindings"];
    for (object, kind) in rights().iter().zip(all) {
        let path = match kind {
            "serviceaccounts" => format!("/api/v1/namespaces/{NAMESPACE}/{kind}"),
            _ => format!("/apis/rbac.authorization.k8s.io/v1/{kind}"),
        };
        bed.client().create_if_missing(&path, object)?;
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 86400}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/multus/token");
    let answer = bed.client().send("POST", &path, &request)?;
    let token = answer.pointer("/status/token").and_then(Value::as_str).context("there is no token")?;
    bed.node().write(&format!("{folder}/token"), token)?;
    let authority = bed.cluster().place().folder().join("pki/ca.crt");
    let authority = fs::read_to_string(authority).context("cannot read the authority's certificate")?;
    bed.node().write(&format!("{folder}/ca.crt"), &authority)
}

fn rights() -> [Value; 3] {
    let metadata = json!({"name": "multus", "namespace": NAMESPACE});
    let rules = json!([
        {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods", "pods/status"],
         "verbs": ["get", "list", "update", "watch", "patch"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
    ]);
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": "multus"}, "rules": rules}),
        json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": "multus"},
               "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "multus"},
               "subjects": [{"kind": "ServiceAccount", "name": "multus", "namespace": NAMESPACE}]}),
    ]
}

fn kubeconfig_text() -> String {
    json!({"apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": format!("https://{}", address()),
            "certificate-authority": format!("{SECRETS}/ca.crt")}}],
        "users": [{"name": "user", "user": {"tokenFile": format!("{SECRETS}/token")}}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context"})
    .to_string()
}
