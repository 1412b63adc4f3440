//! The identity with which a node's shim speaks: the rights that are shipped and no more, by a token from a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kubeconfig::{self, User};
use crate::project;

use super::ApiServer;

const ACCOUNT: &str = "manifold-shim";
const RIGHTS: &str = "/apis/rbac.authorization.k8s.io/v1";
const PATIENCE: Duration = Duration::from_secs(60);

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
        // The second is for runtimes that pass no annotations, as most tests do.
        for file in ["shim.yaml", "shim-reads-pods.yaml"] {
            for (collection, object) in rights(file, namespace)? {
                self.client.create_if_missing(&collection, &object)?;
            }
        }
        let folder = self.folder.join(format!("shim-{namespace}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let token_file = folder.join("token");
        self.write_shim_token(namespace, &token_file)?;
        self.wait_for_rights(namespace, &token_file)?;
        let kubeconfig = folder.join("kubeconfig");
        kubeconfig::write(&kubeconfig, self.ports.api, &self.authority, &User::TokenFile(&token_file))?;
        Ok(ShimAccess {
            kubeconfig,
            token_file,
            namespace: namespace.to_string(),
            account: ACCOUNT.to_string(),
        })
    }

    /// The server learns of rights by its own watch, a moment after they were made.
    fn wait_for_rights(&self, namespace: &str, token_file: &Path) -> anyhow::Result<()> {
        let token = fs::read_to_string(token_file).context("cannot read the token of the shim")?;
        let shim = self.client_with_token(&token)?;
        let deadline = Instant::now() + PATIENCE;
        for path in [
            format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/none"),
            format!("/api/v1/namespaces/{namespace}/pods/none"),
        ] {
            // Not found, and no longer forbidden.
            while shim.get(&path)?.status != 404 {
                if Instant::now() > deadline {
                    bail!("the API server does not let the shim get `{path}` after {PATIENCE:?}");
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Asks for a fresh token of an hour, as the node agent does when it renews.
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

/// The objects of a file of `deploy/rbac`, for the account in another namespace than the shipped one. Roles are the same
/// for all; a binding is one namespace's own.
fn rights(file: &str, namespace: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let path = project::root().join("deploy/rbac").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let mut object =
            Value::deserialize(document).with_context(|| format!("`{}` is not YAML", path.display()))?;
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_string();
        match kind.as_str() {
            // The test bed makes its own.
            "ServiceAccount" => continue,
            "ClusterRoleBinding" => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let name = format!("{name}-{namespace}");
                set(&mut object, "/metadata/name", name)?;
                set(&mut object, "/subjects/0/namespace", namespace.to_string())?;
            }
            _ => {}
        }
        objects.push((format!("{RIGHTS}/{}s", kind.to_lowercase()), object));
    }
    Ok(objects)
}

fn set(object: &mut Value, pointer: &str, value: String) -> anyhow::Result<()> {
    let place = object.pointer_mut(pointer).with_context(|| format!("`{pointer}` is missing"))?;
    *place = Value::from(value);
    Ok(())
}
