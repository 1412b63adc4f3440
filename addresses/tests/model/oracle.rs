//! The oracle: who lives by which address in truth, and what the documented contract excuses.
//!
//! Excused are pods that lived on a machine whose Node object was deleted meanwhile, pods whose node's folder was deleted
//! before their status was told, and what the API server forgot when it was put back or an object was deleted by hand.

use std::net::IpAddr;

use manifold_addresses::holdings::Holdings;
use manifold_crds::ipam::BlockCidr;

use crate::bug::Bug;
use crate::node::{Disk, PodId};
use crate::pod::State;
use crate::session::Session;
use crate::world::World;

impl World {
    // The truth.

    /// A lease was made: from now on the pod lives by the address.
    pub(crate) fn hold(&mut self, id: PodId, interface: usize, ip: IpAddr) {
        let n = self.pods[&id].node;
        let excused = !self.nodes[n].registered || self.is_tainted(n, ip);
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.addresses[interface] = Some(ip);
            pod.excused |= excused;
        }
        let holders = self.holders.entry(ip).or_default();
        holders.insert(id);
        if holders.len() > 1 {
            let counted: Vec<PodId> = holders.iter().copied().filter(|id| !self.pods[id].excused).collect();
            self.tally.excused += 1;
            if counted.len() > 1 {
                let nodes: Vec<usize> = counted.iter().map(|id| self.pods[id].node).collect();
                self.violation =
                    Some(format!("{ip} is with pods {counted:?} on nodes {nodes:?} at {}", self.now));
            }
        }
    }

    pub(crate) fn let_go(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        for ip in pod.addresses.iter().flatten() {
            if let Some(holders) = self.holders.get_mut(ip) {
                holders.remove(&id);
                if holders.is_empty() {
                    self.holders.remove(ip);
                }
            }
        }
    }

    /// DEL: the lease goes, as the ledger of the node says.
    pub(crate) fn delete_leases(&mut self, id: PodId) {
        self.let_go(id);
        let Some(pod) = self.pods.get(&id) else { return };
        let node = &mut self.nodes[pod.node];
        let at = self.now.saturating_sub(node.booted_at);
        let own: Vec<IpAddr> =
            node.disk.leases.iter().filter(|(_, (p, _))| *p == id).map(|(ip, _)| *ip).collect();
        for ip in own {
            node.disk.leases.remove(&ip);
            node.disk.freed.insert(ip, at);
        }
    }

    // What the contract excuses.

    /// What the API server says that node has of an address's block.
    fn is_given(&self, n: usize, ip: IpAddr) -> bool {
        let me = self.nodes[n].identity();
        let stored = self.server.blocks.get(&BlockCidr::of(ip));
        stored.is_some_and(|s| me.part_of(&s.spec).mask() & BlockCidr::offset_of(ip).bit() != 0)
    }

    fn is_tainted(&self, n: usize, ip: IpAddr) -> bool {
        self.nodes[n].tainted.contains(&BlockCidr::of(ip)) && !self.is_given(n, ip)
    }

    /// The API server forgot: what lives by something it does not know any more is excused, and so is what is given of it
    /// until the node has read it.
    pub(crate) fn taint(&mut self) {
        for n in 0..self.nodes.len() {
            let (holdings, me) = (self.holdings(n), self.nodes[n].identity());
            let less = |block: &BlockCidr, mask: u16| {
                let known = self.server.blocks.get(block).map_or(0, |s| me.part_of(&s.spec).mask());
                mask & !known != 0
            };
            let tainted: Vec<_> =
                holdings.iter().filter(|(b, h)| less(b, h.part.mask())).map(|(block, _)| block).collect();
            self.nodes[n].tainted.extend(tainted);
            let node = &mut self.nodes[n];
            node.agent.iter_mut().for_each(Session::lose_answer);
            node.adds.iter_mut().filter_map(|add| add.session.as_mut()).for_each(Session::lose_answer);
        }
        let forgotten: Vec<PodId> = self
            .pods
            .iter()
            .filter(|(_, pod)| {
                pod.lives() && pod.addresses.iter().flatten().any(|ip| !self.is_given(pod.node, *ip))
            })
            .map(|(id, _)| *id)
            .collect();
        self.excuse(&forgotten);
    }

    pub(crate) fn lift_taints(&mut self, n: usize, holdings: &Holdings) {
        let me = self.nodes[n].identity();
        let blocks = &self.server.blocks;
        self.nodes[n].tainted.retain(|block| {
            let known = blocks.get(block).map_or(0, |s| me.part_of(&s.spec).mask());
            holdings.get(*block).is_some_and(|h| h.part.mask() & !known != 0)
        });
    }

    pub(crate) fn excuse(&mut self, pods: &[PodId]) {
        for id in pods {
            if let Some(pod) = self.pods.get_mut(id) {
                pod.excused = true;
            }
        }
    }

    pub(crate) fn pods_of(&self, n: usize) -> Vec<PodId> {
        self.pods.iter().filter(|(_, pod)| pod.node == n && pod.lives()).map(|(id, _)| *id).collect()
    }

    /// Everything that ran on a node is dead.
    pub(crate) fn all_die(&mut self, n: usize) {
        for id in self.pods_of(n) {
            self.let_go(id);
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.state = State::Gone;
            }
        }
    }

    /// The folder is deleted while pods live. Those whose status was not told are beyond help.
    pub(crate) fn wipe(&mut self, n: usize) {
        self.tally.wipes += 1;
        let store = self.nodes[n].disk.store + u64::from(self.bug != Some(Bug::StoreIdKept)) * self.now;
        self.nodes[n].kill_all();
        self.nodes[n].disk = Disk { store, ..Disk::default() };
        let untold: Vec<PodId> = self.pods_of(n).into_iter().filter(|id| !self.pods[id].shown).collect();
        self.excuse(&untold);
        for id in &untold {
            if let Some(pod) = self.pods.get_mut(id).filter(|pod| pod.state == State::Starting) {
                pod.state = State::Failed;
            }
        }
    }
}
