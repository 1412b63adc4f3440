//! `--node`: the blocks that a node has a part in.

use std::net::IpAddr;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use manifold_crds::ipam::{BlockSpec, BlockState, HELD_BY_LABEL_PREFIX, NodeName};

use super::facts::{Block, Shown, blocks, shown_on};
use super::{row, table};

pub(super) async fn answer(client: &Client, node: &NodeName) -> anyhow::Result<String> {
    let found = Api::<Node>::all(client.clone()).get_metadata_opt(node.as_str()).await;
    let found = found.with_context(|| format!("node `{node}` cannot be read"))?;
    let uid = found
        .and_then(|node| node.uid())
        .with_context(|| format!("there is no node `{node}`; correct the name"))?;
    let blocks =
        blocks(client, ListParams::default().labels(&format!("{HELD_BY_LABEL_PREFIX}{uid}"))).await?;
    Ok(told(node.as_str(), &uid, &blocks, &shown_on(client, node.as_str()).await?))
}

/// Which addresses of a block are a node's, by its UID.
pub(super) fn addresses(spec: &BlockSpec, uid: &str) -> Vec<IpAddr> {
    let all = manifold_crds::ipam::Offset::all();
    let is_own = |offset: &manifold_crds::ipam::Offset| match &spec.state {
        BlockState::Held(held) => held.holder.uid.as_str() == uid,
        BlockState::Shared(shared) => shared
            .get(offset)
            .and_then(|allocation| allocation.node())
            .is_some_and(|share| share.uid.as_str() == uid),
    };
    all.filter(is_own).map(|offset| spec.cidr.address(offset)).collect()
}

pub(super) fn told(node: &str, uid: &str, blocks: &[Block], shown: &[Shown]) -> String {
    let mut rows = vec![row(["DOMAIN", "BLOCK", "STATE", "ADDRESSES", "USED", "IDLE", "RECALL"])];
    for spec in blocks.iter().filter_map(|block| block.spec.as_ref()) {
        let own = addresses(spec, uid);
        if own.is_empty() {
            continue;
        }
        let used = own.iter().filter(|ip| shown.iter().any(|shown| shown.ip == **ip)).count();
        let (state, recall) = match &spec.state {
            BlockState::Held(held) => {
                ("Held", held.recall.as_ref().map_or(String::new(), |recall| format!("{:?}", recall.reason)))
            }
            BlockState::Shared(_) => ("Shared", String::new()),
        };
        let cells = [
            spec.domain.to_string(),
            spec.cidr.to_string(),
            state.to_owned(),
            own.len().to_string(),
            used.to_string(),
            (own.len() - used).to_string(),
            recall,
        ];
        rows.push(cells.into());
    }
    if rows.len() == 1 { format!("node {node} has no address of any domain\n") } else { table(&rows) }
}
