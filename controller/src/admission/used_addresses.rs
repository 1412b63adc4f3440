//! Who has certain addresses: claims and foreign pods by the blocks, pods of nodes by what they show.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use manifold_addresses::set::AddressSet;
use manifold_crds::ipam::{Allocation, BlockSpec, BlockState, Domain, Offset};
use manifold_crds::{keys, status};

use crate::address_objects;

/// So many blocks are read one by one; of more the whole domain is listed.
const READ_ONE_BY_ONE: u128 = 256;
/// Requests at one time.
const AT_ONCE: usize = 32;
/// Nodes whose pods are looked at, at most.
const MOST_NODES: usize = 64;

/// An address and who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    ip: IpAddr,
    who: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.ip, self.who)
    }
}

/// Everybody who has one of these addresses of a domain. `networks`: those that use the pool, where they are known.
///
/// # Errors
/// In words, if it cannot be found out.
pub(super) async fn users(
    client: &Client,
    domain: &Domain,
    wanted: &AddressSet,
    networks: &[String],
) -> Result<Vec<User>, String> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (mut users, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for block in blocks(client, domain, wanted).await? {
        look(&block, wanted, &mut users, &mut nodes);
    }
    if nodes.len() > MOST_NODES {
        return Err(format!("{} nodes hold addresses of it", nodes.len()));
    }
    let mut shown =
        stream::iter(nodes).map(|node| pods_on(client, node, wanted, networks)).buffer_unordered(AT_ONCE);
    while let Some(found) = shown.next().await {
        users.extend(found?);
    }
    Ok(users.into_iter().collect())
}

async fn blocks(client: &Client, domain: &Domain, wanted: &AddressSet) -> Result<Vec<BlockSpec>, String> {
    let api = address_objects::blocks(client);
    let told = |error: kube::Error| error.to_string();
    if wanted.blocks() > READ_ONE_BY_ONE {
        let all = address_objects::list(&api, address_objects::of_domain(domain)).await.map_err(told)?;
        return Ok(all.iter().filter_map(address_objects::block).collect());
    }
    let names: Vec<String> = (0..wanted.blocks())
        .filter_map(|n| wanted.nth_block(n))
        .map(|block| block.object_name(domain))
        .collect();
    let get = async |name: String| api.get_opt(&name).await;
    let answers: Vec<Result<Option<DynamicObject>, kube::Error>> =
        stream::iter(names).map(get).buffer_unordered(AT_ONCE).collect().await;
    let found: Result<Vec<Option<DynamicObject>>, kube::Error> = answers.into_iter().collect();
    Ok(found.map_err(told)?.iter().flatten().filter_map(address_objects::block).collect())
}

/// What the block itself tells, and on which nodes to look.
fn look(block: &BlockSpec, wanted: &AddressSet, users: &mut BTreeSet<User>, nodes: &mut BTreeSet<String>) {
    let mask = wanted.mask(block.cidr);
    let is_wanted = |offset: &Offset| mask & offset.bit() != 0;
    let user = |offset: &Offset, who: String| User { ip: block.cidr.address(*offset), who };
    for (offset, withheld) in block.withheld.iter().filter(|(offset, _)| is_wanted(offset)) {
        users.insert(user(offset, format!("pod `{}`", withheld.pod)));
    }
    match &block.state {
        BlockState::Held(held) if mask != 0 => {
            nodes.insert(held.holder.node.to_string());
        }
        BlockState::Held(_) => {}
        BlockState::Shared(all) => {
            for (offset, allocation) in all.iter().filter(|(offset, _)| is_wanted(offset)) {
                match allocation {
                    Allocation::Node(share) => {
                        nodes.insert(share.node.to_string());
                    }
                    Allocation::Claim { claim } => {
                        let claim = format!("IPAMClaim `{}/{}`", claim.namespace, claim.name);
                        users.insert(user(offset, claim));
                    }
                    Allocation::Foreign { foreign } => {
                        users.insert(user(offset, format!("pod `{}`", foreign.pod)));
                    }
                }
            }
        }
    }
}

async fn pods_on(
    client: &Client,
    node: String,
    wanted: &AddressSet,
    networks: &[String],
) -> Result<Vec<User>, String> {
    let api: Api<Pod> = Api::all(client.clone());
    let living = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
    let params = ListParams::default().fields(&living).match_any();
    let pods = api.list_metadata(&params).await.map_err(|error| error.to_string())?;
    let mut users = Vec::new();
    for pod in pods.items {
        let Some(raw) = pod.annotations().get(keys::NETWORK_STATUS) else { continue };
        let who = format!("pod `{}/{}`", pod.namespace().unwrap_or_default(), pod.name_any());
        let entries = status::parse(raw).unwrap_or_default();
        let of_pool =
            entries.into_iter().filter(|entry| networks.is_empty() || networks.contains(&entry.name));
        let ips = of_pool.flat_map(|entry| entry.ips).filter(|ip| wanted.contains(*ip));
        users.extend(ips.map(|ip| User { ip, who: who.clone() }));
    }
    Ok(users)
}
