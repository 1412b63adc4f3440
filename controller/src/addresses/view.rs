//! Everything that the leader knows, as the feeds told it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_addresses::leader::{Nodes, Showing as _};
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Allocation, BlockState, Domain, NodeUid};

use super::inline::DefinitionFacts;
use super::mirror::{Blocks, Mirror};
use super::pods::{InDomain, Pods, Scopes};
use super::read::{ClaimObject, NodeObject, PoolObject};

#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) pools: Mirror<PoolObject>,
    pub(super) blocks: Blocks,
    pub(super) definitions: Mirror<DefinitionFacts>,
    pub(super) nodes: Mirror<NodeObject>,
    pub(super) pods: Pods,
    pub(super) claims: Mirror<ClaimObject>,
    /// Whether the API server knows IPAMClaims. Without, nothing is known of them, and nothing of theirs is touched.
    pub(super) has_claims: bool,
    /// UIDs by name, made anew when nodes change.
    node_uids: BTreeMap<String, NodeUid>,
}

impl View {
    /// Whether anything that is decided on it means anything.
    pub(super) fn is_complete(&self) -> bool {
        let lists = [
            self.pools.is_complete(),
            self.blocks.is_complete(),
            self.definitions.is_complete(),
            self.nodes.is_complete(),
            !self.has_claims || self.claims.is_complete(),
        ];
        lists.into_iter().all(|yes| yes) && (!self.wants_pods() || self.pods.is_complete())
    }

    /// Pods count only where there is a pool that they could have addresses of.
    pub(super) fn wants_pods(&self) -> bool {
        self.pools.iter().next().is_some()
            || self.definitions.iter().any(|definition| definition.pools().next().is_some())
    }

    /// Takes up what follows from changes of pools, definitions and nodes. Whether nodes changed.
    pub(super) fn settle(&mut self) -> bool {
        let changed = [self.pools.take_changed(), self.definitions.take_changed()];
        if changed.into_iter().any(|yes| yes) {
            let scopes = self.scopes();
            self.pods.set_scopes(scopes);
        }
        let nodes = self.nodes.take_changed();
        if nodes {
            self.node_uids = self.nodes.iter().map(|node| (node.name.clone(), node.uid.clone())).collect();
        }
        nodes
    }

    fn scopes(&self) -> Scopes {
        let subnets = self.read_pools().map(|(_, pool)| (pool.domain.clone(), pool.subnet));
        let mut scopes = Scopes { networks: BTreeMap::new(), subnets: subnets.collect() };
        for definition in self.definitions.iter() {
            let named =
                definition.named.iter().filter_map(|name| self.pool(name.as_str())).map(|pool| &pool.domain);
            let own = definition.own.iter().map(|(_, spec)| &spec.domain);
            let domains: BTreeSet<Domain> = named.chain(own).cloned().collect();
            if !domains.is_empty() {
                scopes.networks.insert(definition.reference.to_string(), domains);
            }
        }
        scopes
    }

    /// The nodes that are there and in service.
    pub(super) fn nodes(&self) -> Nodes {
        self.nodes.iter().filter(|node| !node.is_out_of_service).map(|node| node.uid.clone()).collect()
    }

    pub(super) fn node_uid(&self, name: &str) -> Option<&NodeUid> {
        self.node_uids.get(name)
    }

    pub(super) fn shown(&self, domain: &Domain) -> InDomain<'_> {
        self.pods.of(domain, &self.node_uids)
    }

    /// The pools that can be read, by name.
    pub(super) fn read_pools(&self) -> impl Iterator<Item = (&str, &Pool)> + Clone {
        self.pools.iter().filter_map(|object| Some((object.name.as_str(), object.pool.as_ref().ok()?)))
    }

    pub(super) fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.get(&name.to_owned())?.pool.as_ref().ok()
    }

    /// Every domain of which anything is known.
    pub(super) fn domains(&self) -> BTreeSet<Domain> {
        let of_pools = self.read_pools().map(|(_, pool)| &pool.domain);
        of_pools
            .chain(self.blocks.domains().map(|(domain, _)| domain))
            .chain(self.pods.domains())
            .cloned()
            .collect()
    }

    /// Whether anybody has an address of a pool, or a node holds any.
    pub(super) fn is_used(&self, name: &str) -> bool {
        let Some(pool) = self.pool(name) else { return false };
        let (first, last) = pool.blocks();
        let in_pool = |block, mask: u16| (pool.ordinary.mask(block) | pool.fixed.mask(block)) & mask != 0;
        self.shown(&pool.domain).masks(first, last).into_iter().any(|(block, mask)| in_pool(block, mask))
            || self.blocks.of(&pool.domain).range(first..=last).any(|(block, stored)| {
                let kept = match &stored.spec.state {
                    BlockState::Held(_) => 0,
                    BlockState::Shared(all) => all
                        .iter()
                        .filter(|(_, allocation)| !matches!(allocation, Allocation::Node(_)))
                        .fold(0, |mask, (offset, _)| mask | offset.bit()),
                };
                in_pool(*block, kept)
            })
    }

    /// What claims have: by the claim's UID.
    pub(super) fn of_claims(&self) -> BTreeMap<&str, Vec<(&Domain, IpAddr)>> {
        let mut all: BTreeMap<&str, Vec<(&Domain, IpAddr)>> = BTreeMap::new();
        for (domain, blocks) in self.blocks.domains() {
            for (block, stored) in blocks {
                let BlockState::Shared(allocations) = &stored.spec.state else { continue };
                for (offset, allocation) in allocations {
                    if let Allocation::Claim { claim } = allocation {
                        all.entry(&claim.uid).or_default().push((domain, block.address(*offset)));
                    }
                }
            }
        }
        all
    }
}
