//! The calm after a history: no more faults, and every address that nobody lives by can be given, and not one more.

use manifold_crds::ipam::BlockState;

use crate::node::PodId;
use crate::pod::{Pod, State};
use crate::world::World;

/// How long after the last fault everything is in order: a lost node's, a lost folder's and an idle block's times, twice.
const SETTLE_ROUNDS: u32 = 30;
/// How many rounds the last pods may wait for addresses that are idle elsewhere.
const FILL_ROUNDS: u32 = 200;

impl World {
    /// No more faults: after some time every address that nobody lives by can be given, and not one more.
    pub(crate) fn calm(&mut self) -> Result<(), String> {
        self.faults = crate::api::Faults { wrong: 0, kill: 0 };
        for n in 0..self.nodes.len() {
            self.nodes[n].cut_until = 0;
            self.register(n);
        }
        self.leaders.iter_mut().for_each(|leader| leader.frozen_until = 0);
        self.settle(SETTLE_ROUNDS, |_| false)?;
        // What lives by an address that two have is no measure of what can be given; nor is a pod that waits for several.
        let apart = |pod: &Pod| pod.excused || pod.state != State::Running;
        let apart: Vec<PodId> = self.pods.iter().filter(|(_, pod)| apart(pod)).map(|(id, _)| *id).collect();
        for id in apart {
            self.delete_leases(id);
            self.pods.remove(&id);
            self.nodes.iter_mut().for_each(|node| node.adds.retain(|add| add.pod != id));
        }
        self.settle(SETTLE_ROUNDS, |_| false)?;
        let total = self.pools[0].ordinary.count() as usize;
        let missing = total.saturating_sub(self.holders.len());
        for _ in 0..missing {
            let n = self.rng.index(self.nodes.len());
            self.add_pod(n, vec![0]);
        }
        let full = |world: &Self| world.holders.len() == total;
        self.settle(FILL_ROUNDS, full)?;
        if !full(self) {
            return Err(format!(
                "free and not given: {} of {total} used; {}",
                self.holders.len(),
                self.unused()
            ));
        }
        let n = self.rng.index(self.nodes.len());
        let one_more = self.add_pod(n, vec![0]);
        self.settle(8, |_| false)?;
        if self.pods[&one_more].state == State::Running {
            return Err(format!("{} addresses were given of {total}", total + 1));
        }
        self.tally.filled += 1;
        Ok(())
    }

    /// Who has what nobody lives by.
    fn unused(&self) -> String {
        let mut text = String::new();
        for (block, stored) in &self.server.blocks {
            for offset in manifold_crds::ipam::Offset::all() {
                let ip = block.address(offset);
                if !self.holders.contains_key(&ip) && self.pools[0].ordinary.contains(ip) {
                    let who = match &stored.spec.state {
                        BlockState::Held(held) => format!("{held:?}"),
                        BlockState::Shared(all) => format!("{:?}", all.get(&offset)),
                    };
                    text.push_str(&format!("\n{ip} {who} {:?}", stored.spec.withheld.get(&offset)));
                }
            }
        }
        for node in &self.nodes {
            let waiting =
                self.pods.values().filter(|p| p.node == node.number && p.state != State::Running).count();
            text.push_str(&format!(
                "\n{}: {waiting} pods wait; {:?}",
                node.uid(),
                String::from_utf8_lossy(&node.disk.holdings)
            ));
        }
        text
    }

    /// Rounds in which everybody gets to act, until something is so.
    fn settle(&mut self, rounds: u32, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        for _ in 0..rounds {
            if is_so(self) {
                return Ok(());
            }
            self.now += 5 + self.rng.next() % 120;
            self.server.land(self.now);
            self.end_pods();
            for n in 0..self.nodes.len() {
                for _ in 0..12 {
                    self.step_agent(n);
                    if self.nodes[n].agent.is_none() {
                        break;
                    }
                }
                for _ in 0..12 {
                    (0..self.nodes[n].adds.len()).rev().for_each(|at| self.step_add(n, at));
                }
            }
            (0..8).for_each(|step| self.leader_step(step % 2));
            if let Some(found) = self.violation.take() {
                return Err(format!("two living holders: {found}"));
            }
        }
        Ok(())
    }

    /// The kubelet: DEL for what failed, another ADD for what waits; statuses are told, dead objects go.
    fn end_pods(&mut self) {
        let ids: Vec<PodId> = self.pods.keys().copied().collect();
        for id in ids {
            match self.pods[&id].state {
                State::Pending => self.start_add(id),
                State::Failed => {
                    self.delete_leases(id);
                    let pod = self.pods.get_mut(&id);
                    if let Some(pod) = pod {
                        pod.addresses.iter_mut().for_each(|ip| *ip = None);
                        pod.state = State::Pending;
                    }
                }
                State::Gone => {
                    self.pods.remove(&id);
                }
                State::Running => {
                    let pod = &self.pods[&id];
                    let known = self.nodes[pod.node].disk.leases.values().any(|(p, _)| *p == id);
                    self.pods.entry(id).and_modify(|pod| pod.shown |= known && pod.object);
                }
                State::Starting => {}
            }
        }
    }
}
