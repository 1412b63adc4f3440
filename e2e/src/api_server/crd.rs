//! Puts the project's NetworkAttachmentDefinition into a fresh API server.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::project;

const FILE: &str = "crds/yaml/network-attachment-definition.yaml";
pub(super) const EVERYWHERE: &str = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions";
/// However busy the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Returns when the server answers for definitions.
pub(super) fn install(client: &ApiClient) -> anyhow::Result<()> {
    let yaml =
        fs::read_to_string(project::root().join(FILE)).with_context(|| format!("cannot read `{FILE}`"))?;
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
