//! What the API server says: blocks, pools, claims, and which addresses living pods show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use manifold_cni::{RawObject, Version};
use manifold_crds::ipam::{BlockSpec, Domain};
use manifold_crds::{keys, status};
use manifold_plugin_conf::cluster_local::{AddressSource, ClusterLocalConf, TYPE};

use crate::address_objects::{self, StoredPool, list};
use crate::objects::{self, Definition};

const PAGE: u32 = 500;
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// An AddressBlock.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// None where it cannot be read.
    pub(super) spec: Option<BlockSpec>,
}

/// An IPAMClaim.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ips: Vec<IpAddr>,
}

/// A pod's interface that shows an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) network: String,
    pub(super) interface: String,
    pub(super) ip: IpAddr,
}

/// Everything that `--check` compares.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) blocks: Vec<Block>,
    pub(super) claims: Vec<Claim>,
    pub(super) shown: Vec<Shown>,
    /// UIDs.
    pub(super) pods: BTreeSet<String>,
    pub(super) nodes: BTreeSet<String>,
    /// By network, as `namespace/name`: the domains of its addresses.
    pub(super) domains: BTreeMap<String, BTreeSet<Domain>>,
}

pub(super) async fn everything(client: &Client) -> anyhow::Result<Facts> {
    let pools = pools(client).await?;
    let nodes = Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let nodes = nodes.context("the nodes cannot be listed")?;
    // Blocks before pods: what a pod got meanwhile is in a block that is read too late at most.
    let (blocks, claims) = (blocks(client, ListParams::default()).await?, claims(client).await?);
    let pods = pods(client, LIVING).await?;
    Ok(Facts {
        blocks,
        claims,
        shown: pods.iter().flat_map(shown).collect(),
        pods: pods.iter().filter_map(ResourceExt::uid).collect(),
        nodes: nodes.iter().filter_map(ResourceExt::uid).collect(),
        domains: domains(client, &pools).await?,
    })
}

pub(super) async fn pools(client: &Client) -> anyhow::Result<Vec<StoredPool>> {
    let all = list(&address_objects::pools(client), ListParams::default()).await;
    Ok(all.context("the AddressPools cannot be listed")?.iter().filter_map(StoredPool::read).collect())
}

pub(super) async fn blocks(client: &Client, params: ListParams) -> anyhow::Result<Vec<Block>> {
    let all =
        list(&address_objects::blocks(client), params).await.context("the AddressBlocks cannot be listed")?;
    let block = |object: &kube::core::DynamicObject| Block {
        name: object.name_any(),
        labels: object.labels().clone(),
        spec: address_objects::block(object),
    };
    Ok(all.iter().map(block).collect())
}

async fn claims(client: &Client) -> anyhow::Result<Vec<Claim>> {
    let all = list(&address_objects::claims(client), ListParams::default()).await;
    let claim = |object: &kube::core::DynamicObject| {
        let ips: Vec<String> = object
            .data
            .pointer("/status/ips")
            .cloned()
            .and_then(|ips| serde_json::from_value(ips).ok())
            .unwrap_or_default();
        let address = |ip: &String| ip.split('/').next()?.parse().ok();
        Claim {
            name: format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()),
            uid: object.uid().unwrap_or_default(),
            ips: ips.iter().filter_map(address).collect(),
        }
    };
    Ok(all.context("the IPAMClaims cannot be listed")?.iter().map(claim).collect())
}

/// Metadata alone, a page at a time.
async fn pods(client: &Client, fields: &str) -> anyhow::Result<Vec<PartialObjectMeta<Pod>>> {
    let api: Api<Pod> = Api::all(client.clone());
    let mut params = ListParams::default().fields(fields).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list_metadata(&params).await.context("the pods cannot be listed")?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// What the living pods of one node show.
pub(super) async fn shown_on(client: &Client, node: &str) -> anyhow::Result<Vec<Shown>> {
    let pods = pods(client, &format!("spec.nodeName={node},{LIVING}")).await?;
    Ok(pods.iter().flat_map(shown).collect())
}

fn shown(pod: &PartialObjectMeta<Pod>) -> Vec<Shown> {
    let Some(raw) = pod.annotations().get(keys::NETWORK_STATUS) else { return Vec::new() };
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let entries = status::parse(raw).unwrap_or_default();
    let of_entry = |entry: status::NetworkStatus| {
        let (name, uid) = (name.clone(), pod.uid().unwrap_or_default());
        let interface = entry.interface.unwrap_or_default();
        entry.ips.into_iter().map(move |ip| Shown {
            pod: name.clone(),
            uid: uid.clone(),
            network: entry.name.clone(),
            interface: interface.clone(),
            ip,
        })
    };
    entries.into_iter().flat_map(of_entry).collect()
}

/// Which networks give addresses by `cluster-local`, and of which domains.
async fn domains(
    client: &Client,
    pools: &[StoredPool],
) -> anyhow::Result<BTreeMap<String, BTreeSet<Domain>>> {
    let all = list(&objects::all(client.clone()), ListParams::default())
        .await
        .context("the definitions cannot be listed")?;
    let of = |object: &kube::core::DynamicObject| {
        let nad = Definition::read(object).ok()?.nad;
        let domains = domains_of(nad.config.as_deref()?, pools);
        (!domains.is_empty()).then(|| (nad.reference.to_string(), domains))
    };
    Ok(all.iter().filter_map(of).collect())
}

pub(super) fn domains_of(config: &str, pools: &[StoredPool]) -> BTreeSet<Domain> {
    let Ok(config) = RawObject::parse(config.as_bytes()) else { return BTreeSet::new() };
    let plugins: Vec<RawObject> = config.get_as("plugins").ok().flatten().unwrap_or_else(|| vec![config]);
    let is_ours = |plugin: &&RawObject| {
        manifold_plugin_conf::ipam::ipam_type(plugin).ok().flatten().is_some_and(|kind| kind.as_str() == TYPE)
    };
    let read = |plugin: &RawObject| ClusterLocalConf::read_without_request(plugin, Version::NEWEST).ok();
    let sources = plugins.iter().filter(is_ours).filter_map(read).flat_map(|conf| conf.sources);
    let domain = |source: AddressSource| match source {
        AddressSource::Inline(set) => set.pools.first().map(|inline| inline.pool.domain.clone()),
        AddressSource::Pool(name) => {
            pools.iter().find(|pool| pool.name == name.as_str()).map(|pool| pool.spec.domain.clone())
        }
    };
    sources.filter_map(domain).collect()
}
