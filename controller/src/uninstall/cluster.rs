//! What the cluster has of ours besides the chart's objects: the cluster role at work, finalizers, the default network.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use manifold_crds::nad_status::IN_USE_FINALIZER;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::config::DefaultSource;
use crate::node::config::Config;
use crate::objects::{self, Definition, FIELD_MANAGER};

const CLUSTER_ROLE: &str = "manifold-controller";
const ITS_PODS: &str = "app.kubernetes.io/name=manifold-controller";
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn definitions(client: &Client) -> anyhow::Result<Vec<Definition>> {
    let list = objects::all(client.clone()).list(&ListParams::default()).await;
    let list = list.context("the definitions cannot be listed")?;
    // A malformed one has no users that we could name.
    Ok(list.iter().filter_map(|object| Definition::read(object).ok()).collect())
}

pub(super) async fn patch(api: &Api<DynamicObject>, name: &str, patch: &Value) -> Result<(), kube::Error> {
    let how = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &how, &Patch::Merge(patch)).await.map(drop)
}

/// The cluster role stops first, so that it restores nothing.
pub(super) async fn let_go(client: &Client, config: &Config, wait: Duration) -> anyhow::Result<()> {
    stop_cluster_role(client, &config.namespace, Instant::now() + wait).await?;
    for definition in definitions(client).await?.iter().filter(|d| d.has_finalizer(IN_USE_FINALIZER)) {
        let reference = definition.reference();
        let left: Vec<&String> =
            definition.nad.finalizers.iter().filter(|f| *f != IN_USE_FINALIZER).collect();
        let api = objects::of_namespace(client.clone(), reference.namespace.as_str());
        let change = json!({"metadata": {"uid": definition.uid, "finalizers": left}});
        let patched = patch(&api, reference.name.as_str(), &change).await;
        unless_gone(patched)
            .with_context(|| format!("the finalizer of `{reference}` cannot be taken off"))?;
    }
    if config.default_network.source != DefaultSource::Unmanaged {
        let api = objects::of_namespace(client.clone(), &config.namespace);
        let deleted = api.delete(&config.default_network.name, &DeleteParams::default()).await.map(drop);
        unless_gone(deleted).context("the definition of the default network cannot be deleted")?;
    }
    Ok(())
}

async fn stop_cluster_role(client: &Client, namespace: &str, deadline: Instant) -> anyhow::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scaled = api.patch_scale(CLUSTER_ROLE, &PatchParams::default(), &none).await.map(drop);
    unless_gone(scaled).context("the cluster role cannot be stopped")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    loop {
        let left = pods.list(&ListParams::default().labels(ITS_PODS)).await?;
        if left.items.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("pods of the cluster role are still there; delete them, then uninstall again");
        }
        sleep(LOOK).await;
    }
}

fn unless_gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
