//! Puts the NetworkAttachmentDefinition into a fresh API server: the project's own file, else the bare standard.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::project;

const FILE: &str = "crds/yaml/network-attachment-definition.yaml";
pub(super) const EVERYWHERE: &str = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions";
const PATIENCE: Duration = Duration::from_secs(20);

/// What the standard says, for as long as the project has no file.
const STANDARD: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: network-attachment-definitions.k8s.cni.cncf.io
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names:
    plural: network-attachment-definitions
    singular: network-attachment-definition
    kind: NetworkAttachmentDefinition
    shortNames: [net-attach-def]
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                config: {type: string}
";

/// Returns when the server answers for definitions.
pub(super) fn install(client: &ApiClient) -> anyhow::Result<()> {
    let file = project::root().join(FILE);
    let yaml = if file.is_file() { fs::read_to_string(&file)? } else { STANDARD.to_string() };
    let definition: Value = serde_yaml::from_str(&yaml).with_context(|| format!("`{FILE}` is not YAML"))?;
    client.create_if_missing("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?;
    let deadline = Instant::now() + PATIENCE;
    while !client.get(&format!("{EVERYWHERE}?limit=1"))?.ok() {
        if Instant::now() > deadline {
            bail!("the API server does not serve `network-attachment-definitions` after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
