//! A leader with a cache that may be old.

use manifold_addresses::api::Write;
use manifold_addresses::leader::{
    Gone, Living, Nodes, Observed, collect, hints, mark_lost_node, reclaim, reserve, strays,
};
use manifold_crds::ipam::{BlockCidr, Domain};

use crate::api::Blocks;
use crate::bug::Bug;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Leader {
    pub(crate) blocks: Blocks,
    pub(crate) living: Living,
    pub(crate) nodes: Nodes,
    pub(crate) observed: Observed,
    pub(crate) frozen_until: u64,
}

impl World {
    pub(crate) fn refresh(&mut self, l: usize) {
        if self.leaders[l].frozen_until <= self.now {
            let (living, nodes) = (self.living(), self.node_uids());
            let leader = &mut self.leaders[l];
            (leader.blocks, leader.living, leader.nodes) = (self.server.blocks.clone(), living, nodes);
        }
    }

    pub(crate) fn leader_step(&mut self, l: usize) {
        self.refresh(l);
        let blocks: Vec<BlockCidr> = self.leaders[l].blocks.keys().copied().collect();
        let block = self.rng.pick(&blocks).copied();
        let writes = match (self.rng.index(5), block) {
            (0, Some(block)) => Vec::from_iter(self.lost(l, block)),
            (1, Some(block)) => Vec::from_iter(self.collected(l, block)),
            (2, _) => Vec::from_iter(self.strays(l)),
            _ => reserve(&self.pools[0], &self.leaders[l].blocks, &self.leaders[l].living).writes,
        };
        for write in writes {
            self.server.send(&write, false, self.faults, self.now, &mut self.rng);
        }
    }

    fn lost(&mut self, l: usize, block: BlockCidr) -> Option<Write> {
        let read = self.leaders[l].blocks.get(&block)?.clone();
        if let Some(write) = mark_lost_node(&read, &self.leaders[l].nodes) {
            return Some(write);
        }
        // Listed now, after the block was read.
        let (mut living, mut nodes) = (self.living(), self.node_uids());
        match self.bug {
            Some(Bug::ReclaimBlind) => living = Living::new(),
            Some(Bug::NodesNotListed) => nodes = (0..4).map(|n| format!("n{n}-1").parse().unwrap()).collect(),
            _ => {}
        }
        let (now, after) = (self.now, self.pools[0].reclaim_after_seconds);
        reclaim(&read, &nodes, &living, &mut self.leaders[l].observed, after, now)
    }

    fn collected(&mut self, l: usize, block: BlockCidr) -> Option<Write> {
        let read = self.leaders[l].blocks.get(&block)?.clone();
        let (mut living, mut pods) = (self.living(), self.pod_uids());
        if self.bug == Some(Bug::CollectBlind) {
            living.clear();
            pods.clear();
        }
        let gone = Gone { living: &living, pods: &pods, claims: &Default::default() };
        let now = self.now;
        collect(&read, &gone, &mut self.leaders[l].observed, now)
    }

    fn strays(&mut self, l: usize) -> Option<Write> {
        let leader = &self.leaders[l];
        let all: Vec<BlockCidr> = leader.living.keys().map(|ip| BlockCidr::of(*ip)).collect();
        let block = self.rng.pick(&all).copied()?;
        strays(&Domain::default(), block, self.leaders[l].blocks.get(&block), &self.leaders[l].living)
    }

    /// What the pool's status says, as a node may know it.
    pub(crate) fn hints(&mut self, pool: usize) -> manifold_addresses::claim::Hints {
        let l = self.rng.index(2);
        hints(&self.pools[pool], &self.leaders[l].blocks, self.modes[pool])
    }
}
