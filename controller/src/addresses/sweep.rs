//! What is taken from those who are gone: blocks of lost nodes and folders, addresses that were kept for pods that are gone,
//! addresses that a claim does not name.
//!
//! The feeds only tell where to look. What is decided is decided on the block as it is now, and on nodes, pods and claims that
//! were read after it (IPAM-63).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::join_all;
use kube::Client;
use manifold_addresses::api::{Stored, Write};
use manifold_addresses::leader::{
    Gone, Living, Nodes, Observed, Showing as _, collect, drop_unnamed, owners, reclaim,
};
use manifold_addresses::moment::Seconds;
use manifold_crds::ipam::pool::RECLAIM_AFTER_SECONDS;
use manifold_crds::ipam::{Allocation, BlockCidr, BlockState, Domain, NodeUid, RecallReason};
use manifold_plan::Policy;

use super::facts::PodFacts;
use super::metrics::{Metrics, Taken};
use super::mirror::Mirror;
use super::pods::{Pods, Scopes};
use super::read::{self, ClaimObject, NodeObject};
use super::send::BlockClient;
use super::view::View;
use super::{feeds, resource};
use crate::feed::{Event, Source, feed};

/// Blocks that one sweep looks at; the others come with the next.
const AT_ONCE: usize = 512;
/// Blocks that are read at the same time.
const READS: usize = 16;

/// Blocks of which something may have to be taken, by what the feeds told. Observes since when.
pub(super) fn suspects(
    view: &View,
    nodes: &Nodes,
    observed: &mut BTreeMap<Domain, Observed>,
    now: Seconds,
) -> Vec<(Domain, BlockCidr)> {
    let mut found = Vec::new();
    for (domain, blocks) in view.blocks.domains() {
        let observed = observed.entry(domain.clone()).or_default();
        for (block, stored) in blocks {
            let shown = || view.shown(domain).living(*block);
            let around = Around { view, nodes, living: &shown, pods: &|uid| view.pods.is_there(uid) };
            if decide(stored, &around, observed, now).is_some() {
                found.push((domain.clone(), *block));
            }
        }
    }
    found.truncate(AT_ONCE);
    found
}

/// What a decision looks at beside the block.
struct Around<'a> {
    view: &'a View,
    nodes: &'a Nodes,
    living: &'a dyn Fn() -> Living,
    pods: &'a dyn Fn(&str) -> bool,
}

fn decide(
    stored: &Stored,
    around: &Around<'_>,
    observed: &mut Observed,
    now: Seconds,
) -> Option<(Write, Taken)> {
    let Around { view, nodes, living, pods } = around;
    let after = reclaim_after(view, stored);
    let is_due = needs_reclaim(stored, nodes) || observed.has(stored.spec.cidr);
    let write = if is_due { reclaim(stored, nodes, &living(), observed, after, now) } else { None };
    if let Some(write) = write {
        let is_lost = stored.spec.nodes().iter().any(|uid| !nodes.contains(*uid));
        return Some((write, if is_lost { Taken::NodeLost } else { Taken::StoreLost }));
    }
    if !needs_collect(stored) {
        return None;
    }
    let living = living();
    let (pods, claims) = existing(view, stored, &living, pods);
    let gone = Gone { living: &living, pods: &pods, claims: &claims };
    if let Some(write) = collect(stored, &gone, observed, now) {
        return Some((write, Taken::OwnerGone));
    }
    let named =
        |uid: &str| view.claims.iter().find(|claim| claim.uid == uid).map(|claim| claim.ips.iter().copied());
    let mut dropped = claims
        .iter()
        .filter_map(|uid| drop_unnamed(stored, uid, &named(uid)?.collect(), &living, observed, now));
    dropped.next().map(|write| (write, Taken::OwnerGone))
}

/// The longest time that any of its pools sets.
fn reclaim_after(view: &View, stored: &Stored) -> u32 {
    let block = stored.spec.cidr;
    let of_block = |pool: &&manifold_addresses::pool::Pool| {
        pool.domain == stored.spec.domain && (pool.ordinary.mask(block) | pool.fixed.mask(block)) != 0
    };
    let pools = view.read_pools().map(|(_, pool)| pool).filter(of_block);
    pools.map(|pool| pool.reclaim_after_seconds).max().unwrap_or(RECLAIM_AFTER_SECONDS)
}

fn needs_reclaim(stored: &Stored, nodes: &Nodes) -> bool {
    let lost = |uid: &NodeUid| !nodes.contains(uid);
    match &stored.spec.state {
        BlockState::Held(held) => {
            lost(&held.holder.uid)
                || held.recall.as_ref().is_some_and(|r| r.reason == RecallReason::StoreLost)
        }
        BlockState::Shared(all) => {
            all.values().filter_map(Allocation::node).any(|share| share.store_lost || lost(&share.uid))
        }
    }
}

fn needs_collect(stored: &Stored) -> bool {
    !stored.spec.withheld.is_empty()
        || matches!(&stored.spec.state, BlockState::Shared(all) if all.values().any(|a| a.node().is_none()))
}

/// Which owners of its addresses exist. A claim whose address a living pod shows is treated like one that does.
fn existing(
    view: &View,
    stored: &Stored,
    living: &Living,
    pods: &dyn Fn(&str) -> bool,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let owners = owners(stored);
    let there: BTreeSet<String> =
        owners.iter().filter(|uid| pods(uid)).map(|uid| (*uid).to_owned()).collect();
    let BlockState::Shared(all) = &stored.spec.state else { return (there, BTreeSet::new()) };
    let mut claims = BTreeSet::new();
    for (offset, allocation) in all {
        let Allocation::Claim { claim } = allocation else { continue };
        let key = (claim.namespace.clone(), claim.name.clone());
        let exists = view.claims.get(&key).is_some_and(|known| known.uid == claim.uid);
        if exists || !view.has_claims || living.contains_key(&stored.spec.cidr.address(*offset)) {
            claims.insert(claim.uid.clone());
        }
    }
    (there, claims)
}

/// How to read anew.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) policy: Arc<Policy>,
    pub(super) metrics: Metrics,
    pub(super) scopes: Scopes,
}

/// As it was read: the blocks first, then everybody else.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) blocks: Vec<Stored>,
    pub(super) nodes: Mirror<NodeObject>,
    pub(super) pods: Pods,
    pub(super) claims: Option<Mirror<ClaimObject>>,
}

impl Reader {
    /// Reads these blocks, and after them all nodes, pods and claims.
    pub(super) async fn read(self, suspects: Vec<(Domain, BlockCidr)>, has_claims: bool) -> Fresh {
        let client = BlockClient(self.client.clone());
        let mut blocks = Vec::with_capacity(suspects.len());
        for some in suspects.chunks(READS) {
            let read = join_all(some.iter().map(|(domain, block)| client.read(domain, *block))).await;
            // What cannot be read now is looked at again.
            blocks.extend(read.into_iter().filter_map(|one| one.ok().flatten()));
        }
        let mut nodes = Mirror::default();
        let source = feeds::nodes(&self.metrics);
        list(&self.client, source, read::node, |event| nodes.take(event)).await;
        let mut pods = Pods::default();
        pods.set_scopes(self.scopes.clone());
        let policy = Arc::clone(&self.policy);
        let read = move |raw: &_| PodFacts::read(raw, &policy);
        list(&self.client, feeds::pods(&self.metrics), read, |event| pods.take(event)).await;
        let mut claims = has_claims.then(Mirror::default);
        if let Some(claims) = &mut claims {
            let source = resource::source("ipamclaims", &resource::claims(), |_| {});
            list(&self.client, source, read::claim, |event| claims.take(event)).await;
        }
        Fresh { blocks, nodes, pods, claims }
    }
}

/// One whole list.
async fn list<T: Send + 'static>(
    client: &Client,
    source: Source,
    read: impl Fn(&serde_json::value::RawValue) -> Result<T, crate::objects::Malformed> + Send + Sync + 'static,
    mut take: impl FnMut(Event<T>),
) {
    let stream = feed(client.clone(), source, read);
    futures::pin_mut!(stream);
    while let Some(event) = stream.next().await {
        let is_end = matches!(event, Event::ListEnds);
        take(event);
        if is_end {
            return;
        }
    }
}

/// What a sweep takes.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) write: Write,
    pub(super) cause: Taken,
    /// As it was read.
    pub(super) before: Stored,
}

/// Decides on what was read anew. The rest of the view tells only of pools.
pub(super) fn decide_all(
    fresh: &mut Fresh,
    view: &mut View,
    observed: &mut BTreeMap<Domain, Observed>,
    now: Seconds,
) -> Vec<Taking> {
    let uids: BTreeMap<String, NodeUid> =
        fresh.nodes.iter().map(|node| (node.name.clone(), node.uid.clone())).collect();
    let nodes: Nodes = fresh.nodes.iter().filter(|n| !n.is_out_of_service).map(|n| n.uid.clone()).collect();
    // Claims as they are now, for all that follows.
    if let Some(claims) = fresh.claims.take() {
        view.claims = claims;
    }
    let mut all = Vec::new();
    for stored in &fresh.blocks {
        let domain = &stored.spec.domain;
        let living = || fresh.pods.of(domain, &uids).living(stored.spec.cidr);
        let pods = |uid: &str| fresh.pods.is_there(uid);
        let around = Around { view: &*view, nodes: &nodes, living: &living, pods: &pods };
        let observed = observed.entry(domain.clone()).or_default();
        if let Some((write, cause)) = decide(stored, &around, observed, now) {
            all.push(Taking { write, cause, before: stored.clone() });
        }
    }
    all
}

/// How many addresses somebody lost by a write, and how many stay with living pods.
pub(super) fn outcome(taking: &Taking) -> (u32, u32) {
    let kept = match &taking.write {
        Write::Create(spec) | Write::Replace { spec, .. } => {
            manifold_addresses::api::allocated_mask(spec) | manifold_addresses::api::withheld_mask(spec)
        }
        Write::Delete { .. } => 0,
    };
    let had = manifold_addresses::api::allocated_mask(&taking.before.spec);
    ((had & !kept).count_ones(), (had & kept).count_ones())
}

/// Who had it.
pub(super) fn holder(stored: &Stored) -> String {
    match &stored.spec.state {
        BlockState::Held(held) => held.holder.node.to_string(),
        BlockState::Shared(all) => all
            .values()
            .find_map(Allocation::node)
            .map_or_else(|| "nobody".to_owned(), |share| share.node.to_string()),
    }
}
