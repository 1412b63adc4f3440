//! Does what `claims.rs` decides, each on the claim as it is now.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use manifold_address_store::kept::set_addresses;
use manifold_addresses::leader::{Showing as _, release_claim};
use manifold_crds::ipam::BlockCidr;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::time::timeout;

use super::claims::{ClaimTask, FINALIZER};
use super::facts::PodFacts;
use super::resource;
use super::send::{BlockClient, Sent};
use super::view::View;
use crate::context::Context;
use crate::objects::FIELD_MANAGER;

const PATIENCE: Duration = Duration::from_secs(10);

fn how() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn api(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource::claims())
}

/// The claim as it is now, if it is still the same.
async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
) -> anyhow::Result<Option<DynamicObject>> {
    let found = timeout(PATIENCE, api(client, namespace).get_opt(name)).await??;
    Ok(found.filter(|object| object.metadata.uid.as_deref() == Some(uid)))
}

/// Whether it was done, or is done already.
pub(super) async fn act(context: &Context, view: &View, task: &ClaimTask) -> anyhow::Result<bool> {
    let client = &context.client;
    match task {
        ClaimTask::Create(object) => {
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            timeout(PATIENCE, api(client, &namespace).create(&how(), object)).await??;
        }
        ClaimTask::AddFinalizer { namespace, name, uid } => {
            let Some(mut object) = read(client, namespace, name, uid).await? else { return Ok(false) };
            object.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
            timeout(PATIENCE, api(client, namespace).replace(name, &how(), &object)).await??;
        }
        ClaimTask::Complete { namespace, name, uid, ips } => {
            let Some(mut object) = read(client, namespace, name, uid).await? else { return Ok(false) };
            let is_told = object
                .data
                .pointer("/status/ips")
                .and_then(|ips| ips.as_array())
                .is_some_and(|a| !a.is_empty());
            if is_told {
                return Ok(false);
            }
            // Whose ADD it was is not known here.
            set_addresses(&mut object.data, ips, None);
            timeout(PATIENCE, api(client, namespace).replace_status(name, &how(), &object)).await??;
        }
        ClaimTask::Release { namespace, name, uid, addresses } => {
            if is_named_by_a_pod(context, namespace, name).await? {
                return Ok(false);
            }
            for (domain, ip) in addresses {
                let blocks = BlockClient(client.clone());
                let block = BlockCidr::of(*ip);
                let Some(stored) = blocks.read(domain, block).await? else { continue };
                let living = view.shown(domain).living(block);
                if let Some(write) = release_claim(&stored, uid, &living)
                    && !matches!(blocks.send(&write).await, Sent::Applied(_))
                {
                    return Ok(false);
                }
            }
            let Some(mut object) = read(client, namespace, name, uid).await? else { return Ok(true) };
            object.metadata.finalizers.get_or_insert_default().retain(|finalizer| finalizer != FINALIZER);
            timeout(PATIENCE, api(client, namespace).replace(name, &how(), &object)).await??;
        }
    }
    Ok(true)
}

/// A pod may have the addresses of its claim long before its status tells so.
async fn is_named_by_a_pod(context: &Context, namespace: &str, claim: &str) -> anyhow::Result<bool> {
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = ListParams::default().fields(crate::usage::PODS_THAT_COUNT);
    let pods = timeout(PATIENCE, api.list_metadata(&params)).await??;
    for pod in pods.items {
        let raw = to_raw_value(&json!({ "metadata": pod.metadata }))?;
        if let Ok(facts) = PodFacts::read(&raw, &context.policy)
            && facts.claims.iter().any(|named| named == claim)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
