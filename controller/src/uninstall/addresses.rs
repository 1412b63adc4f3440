//! Addresses: whoever keeps one is in the way; blocks and pools go last.

use std::collections::BTreeSet;

use anyhow::Context as _;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use manifold_crds::ipam::{Allocation, BlockState};
use serde_json::json;

use super::cluster::unless_gone;
use crate::address_objects::{self, list};

/// Owners that are named; the others are counted.
const NAMED: usize = 10;

/// Claims, and pods for which the controller keeps an address. Pods of networks are found by their definitions.
pub(super) async fn owners(client: &Client) -> anyhow::Result<Vec<String>> {
    let blocks = list(&address_objects::blocks(client), ListParams::default()).await;
    let mut owners = BTreeSet::new();
    for spec in
        blocks.context("the AddressBlocks cannot be listed")?.iter().filter_map(address_objects::block)
    {
        let BlockState::Shared(all) = spec.state else { continue };
        owners.extend(all.into_values().filter_map(|allocation| match allocation {
            Allocation::Node(_) => None,
            Allocation::Claim { claim } => Some(format!("IPAMClaim {}/{}", claim.namespace, claim.name)),
            Allocation::Foreign { foreign } => Some(foreign.pod),
        }));
    }
    Ok(owners.into_iter().collect())
}

pub(super) fn refusal(owners: &[String]) -> String {
    let named = owners.iter().take(NAMED).map(|owner| format!("`{owner}`")).collect::<Vec<_>>().join(", ");
    let more = match owners.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    format!(
        "addresses are kept for {named}{more}; delete these first, or leave addresses and their records as they are: `--leave`, in \
         the chart `uninstall.leave=true`"
    )
}

/// Blocks first: without a pool nobody would know what they are for.
pub(super) async fn remove(client: &Client) -> anyhow::Result<()> {
    let blocks = address_objects::blocks(client);
    let all = list(&blocks, ListParams::default()).await.context("the AddressBlocks cannot be listed")?;
    for block in all {
        delete(&blocks, &block)
            .await
            .with_context(|| format!("AddressBlock `{}` cannot be deleted", block.name_any()))?;
    }
    let pools = address_objects::pools(client);
    let all = list(&pools, ListParams::default()).await.context("the AddressPools cannot be listed")?;
    for pool in all {
        let name = pool.name_any();
        let let_go = async {
            delete(&pools, &pool).await?;
            // Nobody would take the finalizer off any more.
            let change = json!({"metadata": {"uid": pool.uid(), "finalizers": null}});
            pools.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await.map(drop)
        };
        unless_gone(let_go.await).with_context(|| format!("AddressPool `{name}` cannot be deleted"))?;
    }
    Ok(())
}

/// Only the very object that was listed.
async fn delete(api: &Api<DynamicObject>, object: &DynamicObject) -> Result<(), kube::Error> {
    let uid = Preconditions { uid: object.uid(), resource_version: None };
    let how = DeleteParams { preconditions: Some(uid), ..DeleteParams::default() };
    unless_gone(api.delete(&object.name_any(), &how).await.map(drop))
}
