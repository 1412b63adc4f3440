//! The identity with which a node's shim speaks: the rights of the real one and no more, by a token from a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::kubeconfig::{self, User};

use super::ApiServer;

const ACCOUNT: &str = "manifold-shim";
const RIGHTS: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Where the shim's credentials lie.
#[derive(Clone, Debug)]
pub struct ShimAccess {
    pub kubeconfig: PathBuf,
    /// Named by the kubeconfig; mode 0600. Tests replace it to expire or break the credentials.
    pub token_file: PathBuf,
    pub namespace: String,
    pub account: String,
}

impl ApiServer {
    /// Makes the service account, its rights and a token, and returns the path of the kubeconfig.
    pub fn shim_kubeconfig(&self, namespace: &str) -> anyhow::Result<PathBuf> {
        Ok(self.shim_access(namespace)?.kubeconfig)
    }

    /// The same, with everything that a test may want to take away again.
    pub fn shim_access(&self, namespace: &str) -> anyhow::Result<ShimAccess> {
        self.service_account(namespace, ACCOUNT)?;
        self.client.create_if_missing(&format!("{RIGHTS}/clusterroles"), &role())?;
        self.client.create_if_missing(&format!("{RIGHTS}/clusterrolebindings"), &binding(namespace))?;
        let folder = self.folder.join(format!("shim-{namespace}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let token_file = folder.join("token");
        self.write_shim_token(namespace, &token_file)?;
        let kubeconfig = folder.join("kubeconfig");
        kubeconfig::write(&kubeconfig, self.ports.api, &self.authority, &User::TokenFile(&token_file))?;
        Ok(ShimAccess {
            kubeconfig,
            token_file,
            namespace: namespace.to_string(),
            account: ACCOUNT.to_string(),
        })
    }

    /// Asks for a fresh token of an hour, as the node role does when it renews.
    pub fn write_shim_token(&self, namespace: &str, file: &Path) -> anyhow::Result<()> {
        self.write_token(namespace, ACCOUNT, file)
    }

    /// A token of an hour of any service account, in a file of mode 0600.
    pub fn write_token(&self, namespace: &str, account: &str, file: &Path) -> anyhow::Result<()> {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.client.send("POST", &path, &request)?;
        let token = answer
            .pointer("/status/token")
            .and_then(Value::as_str)
            .context("there is no token in the answer")?;
        kubeconfig::write_secret(file, token)
    }
}

fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ACCOUNT},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        ],
    })
}

fn binding(namespace: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{ACCOUNT}-{namespace}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    })
}
