//! What the cluster has of ours besides the chart's objects: the definition of the default network with its mark, finalizers.

use anyhow::Context as _;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use manifold_crds::keys;
use manifold_crds::nad_status::IN_USE_FINALIZER;
use serde_json::{Value, json};

use crate::config::DefaultSource;
use crate::node::config::Config;
use crate::node::definition::UNINSTALL;
use crate::objects::{self, Definition, FIELD_MANAGER};

pub(super) async fn definitions(client: &Client) -> anyhow::Result<Vec<Definition>> {
    let list = match objects::all(client.clone()).list(&ListParams::default()).await {
        // Without the CRD there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
        list => list.context("the definitions cannot be listed")?,
    };
    // A malformed one has no users that we could name.
    Ok(list.iter().filter_map(|object| Definition::read(object).ok()).collect())
}

/// Tells every node. Where there is no such definition, one is made that says nothing else: the nodes hear of no other.
pub(super) async fn mark(client: &Client, config: &Config, mark: &str) -> anyhow::Result<()> {
    annotate(client, config, &json!(mark))
        .await
        .context("the definition of the default network cannot be marked, so no node starts to uninstall")
}

/// The nodes install themselves again, and take pods down that have waited for it.
pub(super) async fn unmark(client: &Client, config: &Config) -> anyhow::Result<()> {
    annotate(client, config, &Value::Null).await.context(
        "the mark of an earlier removal cannot be removed from the definition of the default network",
    )
}

async fn annotate(client: &Client, config: &Config, value: &Value) -> Result<(), kube::Error> {
    let api = objects::of_namespace(client.clone(), &config.namespace);
    let name = &config.default_network.name;
    let metadata = json!({"annotations": {UNINSTALL: value}});
    match patch(&api, name, &json!({"metadata": metadata})).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => return other,
    }
    let annotations = if value.is_null() { json!({}) } else { json!({UNINSTALL: value}) };
    let object = json!({
        "apiVersion": keys::API_VERSION, "kind": keys::KIND,
        "metadata": {"name": name, "namespace": config.namespace, "annotations": annotations},
    });
    let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&how, &object).await {
        // The controller was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            patch(&api, name, &json!({"metadata": metadata})).await
        }
        other => other.map(drop),
    }
}

async fn patch(api: &Api<DynamicObject>, name: &str, patch: &Value) -> Result<(), kube::Error> {
    let how = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &how, &Patch::Merge(patch)).await.map(drop)
}

/// Nobody counts users any more, so nobody would take the finalizers off.
pub(super) async fn let_go(client: &Client, config: &Config) -> anyhow::Result<()> {
    for definition in definitions(client).await?.iter().filter(|d| d.has_finalizer(IN_USE_FINALIZER)) {
        let reference = definition.reference();
        let left: Vec<&String> =
            definition.nad.finalizers.iter().filter(|f| *f != IN_USE_FINALIZER).collect();
        let api = objects::of_namespace(client.clone(), reference.namespace.as_str());
        let change = json!({"metadata": {"uid": definition.uid, "finalizers": left}});
        let patched = patch(&api, reference.name.as_str(), &change).await;
        unless_gone(patched).with_context(|| format!("the finalizer of `{reference}` cannot be removed"))?;
    }
    if config.default_network.source != DefaultSource::Unmanaged {
        let api = objects::of_namespace(client.clone(), &config.namespace);
        let deleted = api.delete(&config.default_network.name, &DeleteParams::default()).await.map(drop);
        unless_gone(deleted).context("the definition of the default network cannot be deleted")?;
    }
    Ok(())
}

pub(super) fn unless_gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
