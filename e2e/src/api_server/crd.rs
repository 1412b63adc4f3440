//! Puts the project's CustomResourceDefinitions into a fresh API server, and that of IPAMClaim, which others bring.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::project;

/// Each with a list that the server answers once it knows the resource.
const RESOURCES: [(&str, &str); 4] = [
    ("crds/yaml/network-attachment-definition.yaml", EVERYWHERE),
    ("crds/yaml/address-block.yaml", "/apis/ipam.manifold.network/v1alpha1/addressblocks"),
    ("crds/yaml/address-pool.yaml", "/apis/ipam.manifold.network/v1alpha1/addresspools"),
    ("e2e/ipam-claim.yaml", "/apis/k8s.cni.cncf.io/v1alpha1/ipamclaims"),
];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(super) const EVERYWHERE: &str = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions";
/// However busy the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Returns when the server answers for all of them.
pub(super) fn install(client: &ApiClient) -> anyhow::Result<()> {
    for (file, _) in RESOURCES {
        let yaml = fs::read_to_string(project::root().join(file))
            .with_context(|| format!("cannot read `{file}`"))?;
        let definition: Value =
            serde_yaml::from_str(&yaml).with_context(|| format!("`{file}` is not YAML"))?;
        client.create_if_missing(DEFINITIONS, &definition)?;
    }
    let deadline = Instant::now() + PATIENCE;
    for (file, list) in RESOURCES {
        while !client.get(&format!("{list}?limit=1"))?.ok() {
            if Instant::now() > deadline {
                bail!("the API server does not serve what `{file}` defines after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
