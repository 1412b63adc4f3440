//! Nodes, the API server, two leaders, pods and time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use manifold_addresses::api::{Stored, Write};
use manifold_addresses::holdings::Holdings;
use manifold_addresses::leader::{Living, Nodes, Shown};
use manifold_addresses::moment::Moment;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{BlockCidr, Mode, PoolSpec, RangeSpec};

use crate::api::{Answer, Faults, Server};
use crate::bug::Bug;
use crate::leader::Leader;
use crate::node::{Killed, Node, PodId};
use crate::pod::Pod;
use crate::rng::Rng;

/// What happened, so that a history in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) started: u64,
    pub(crate) failed: u64,
    pub(crate) killed: u64,
    pub(crate) excused: u64,
    pub(crate) released: u64,
    pub(crate) reboots: u64,
    pub(crate) wipes: u64,
    pub(crate) restores: u64,
    pub(crate) nodes_lost: u64,
    pub(crate) filled: u64,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) faults: Faults,
    pub(crate) server: Server,
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaders: Vec<Leader>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) pods: BTreeMap<PodId, Pod>,
    /// In truth: who lives by which address.
    pub(crate) holders: BTreeMap<IpAddr, BTreeSet<PodId>>,
    pub(crate) violation: Option<String>,
    pub(crate) tally: Tally,
    pub(crate) next_pod: PodId,
    /// How many seconds a step takes at most.
    pub(crate) pace: u64,
    /// With more addresses in use than this, pods go.
    pub(crate) crowd: usize,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed);
        let mode = [Mode::Blocks, Mode::Singles, Mode::Blocks][rng.index(3)];
        let reuse = [0, 0, 30][rng.index(3)];
        let calm = rng.one_in(8);
        let faults = if calm { Faults { wrong: 0, kill: 0 } } else { Faults { wrong: 6, kill: 60 } };
        let mut server = Server::default();
        server.ignores_versions = bug == Some(Bug::MissingVersion);
        server.creates_over = bug == Some(Bug::CreateReplaces);
        let nodes = (0..2 + rng.index(3)).map(Node::new).collect();
        Self {
            now: 1000,
            bug,
            faults,
            server,
            nodes,
            leaders: vec![Leader::default(), Leader::default()],
            pools: pools(mode, reuse),
            modes: vec![mode, mode],
            pods: BTreeMap::new(),
            holders: BTreeMap::new(),
            violation: None,
            tally: Tally::default(),
            next_pod: 1,
            pace: [2, 4, 30, 90][rng.index(4)],
            crowd: [3, 8, 20, 40][rng.index(4)],
            rng,
        }
    }

    // What processes on nodes use.

    pub(crate) fn is_cut(&self, n: usize) -> bool {
        // The token of a Node object that is gone is refused.
        self.nodes[n].cut_until > self.now || !self.nodes[n].registered
    }

    pub(crate) fn get(&mut self, n: usize, block: BlockCidr) -> Option<Option<Stored>> {
        self.server.requests += 1;
        let heard = !self.is_cut(n) && !self.rng.one_in(self.faults.wrong * 4);
        heard.then(|| self.server.blocks.get(&block).cloned())
    }

    pub(crate) fn send(&mut self, n: usize, write: &Write) -> Answer {
        let cut = self.is_cut(n);
        if !self.nodes[n].registered {
            return Answer::Unknown;
        }
        self.server.send(write, cut, self.faults, self.now, &mut self.rng)
    }

    pub(crate) fn kill_point(&mut self) -> Result<(), Killed> {
        if self.rng.one_in(self.faults.kill) { Err(Killed) } else { Ok(()) }
    }

    pub(crate) fn holdings(&self, n: usize) -> Holdings {
        if self.bug == Some(Bug::OtherNodeAccepted) {
            return Holdings::decode(&self.nodes[n].disk.holdings)
                .unwrap_or_else(|_| self.nodes[n].holdings());
        }
        self.nodes[n].holdings()
    }

    /// Changes the holdings under the domain's lock, durably, and may be killed before and after.
    pub(crate) fn change(
        &mut self,
        n: usize,
        change: impl FnOnce(&mut Holdings, &Moment),
    ) -> Result<(), Killed> {
        self.kill_point()?;
        let mut holdings = self.holdings(n);
        let before: u32 = holdings.iter().map(|(_, h)| h.part.mask().count_ones()).sum();
        change(&mut holdings, &self.nodes[n].now(self.now));
        let after: u32 = holdings.iter().map(|(_, h)| h.part.mask().count_ones()).sum();
        self.tally.released += u64::from(after < before);
        self.nodes[n].disk.holdings = holdings.encode();
        self.lift_taints(n, &holdings);
        self.kill_point()
    }

    /// Which addresses of a block have a lease, or rest.
    pub(crate) fn busy(&self, n: usize, block: BlockCidr) -> u16 {
        let leases = self.nodes[n].leases();
        let now = self.nodes[n].now(self.now).seconds;
        leases.mask(block) | leases.cooling_mask(block, self.pools[0].reuse_after_seconds, now)
    }

    pub(crate) fn killed(&mut self, n: usize) {
        self.tally.killed += 1;
        if self.bug == Some(Bug::ClosingNotDurable) {
            let holdings = reopened(&self.holdings(n));
            self.nodes[n].disk.holdings = holdings.encode();
        }
    }

    // What the leaders see.

    pub(crate) fn living(&self) -> Living {
        let mut living = Living::new();
        for (id, pod) in self.pods.iter().filter(|(_, pod)| pod.object && pod.shown) {
            let node = &self.nodes[pod.node];
            let shown = Shown {
                pod: format!("shop/p{id}"),
                uid: format!("p{id}"),
                node: node.registered.then(|| node.uid().parse().unwrap()),
            };
            for ip in pod.addresses.iter().flatten() {
                living.entry(*ip).or_default().push(shown.clone());
            }
        }
        living
    }

    pub(crate) fn pod_uids(&self) -> BTreeSet<String> {
        self.pods.iter().filter(|(_, pod)| pod.object).map(|(id, _)| format!("p{id}")).collect()
    }

    pub(crate) fn node_uids(&self) -> Nodes {
        self.nodes.iter().filter(|n| n.registered).map(|n| n.uid().parse().unwrap()).collect()
    }
}

/// Holdings of which nothing leaves.
pub(crate) fn reopened(holdings: &Holdings) -> Holdings {
    let mut open = holdings.clone();
    for (block, h) in holdings.iter().filter(|(_, h)| h.closing != 0) {
        if let Some(at) = &h.confirmed {
            open.take(block, h.part, h.withheld, at);
        }
    }
    open
}

/// Two pools of one domain that overlap.
fn pools(mode: Mode, reuse: u32) -> Vec<Pool> {
    let base = PoolSpec {
        mode,
        gateway: Some("10.0.0.1".into()),
        reuse_after_seconds: reuse,
        reclaim_after_seconds: 120,
        ..PoolSpec::of_subnet("10.0.0.0/26")
    };
    let range = RangeSpec { start: "10.0.0.20".into(), end: "10.0.0.40".into() };
    let part = PoolSpec { ranges: vec![range], exclude: vec!["10.0.0.24/30".into()], ..base.clone() };
    vec![Pool::read(&base).unwrap(), Pool::read(&part).unwrap()]
}
