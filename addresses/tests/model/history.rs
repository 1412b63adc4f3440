//! What happens: pods come and go, processes take steps, machines and requests fail.

use crate::node::PodId;
use crate::pod::{Pod, State};
use crate::world::{Tally, World};

impl World {
    /// So many steps in which anything may happen.
    pub(crate) fn turmoil(&mut self, steps: u64) -> Result<(), String> {
        for _ in 0..steps {
            self.step();
            if let Some(found) = self.violation.take() {
                return Err(format!("two living holders: {found}"));
            }
        }
        Ok(())
    }

    fn step(&mut self) {
        self.pass_time();
        match self.rng.index(100) {
            0..8 => self.create_pod(),
            8..16 => self.delete_pod(),
            16..24 => self.start_pod(),
            24..60 => {
                let n = self.rng.index(self.nodes.len());
                let at = self.rng.index(self.nodes[n].adds.len());
                self.step_add(n, at);
            }
            60..82 => {
                let n = self.rng.index(self.nodes.len());
                self.step_agent(n);
            }
            82..91 => {
                let l = self.rng.index(2);
                self.leader_step(l);
            }
            91..95 => self.publish(),
            95..97 => self.clean_objects(),
            _ if self.faults.kill == 0 => {}
            _ => self.fault(),
        }
    }

    fn pass_time(&mut self) {
        self.now += match self.rng.index(2000) {
            0 => 90_000,
            1..10 => 1000 + self.rng.next() % 3000,
            10..60 => self.rng.next() % 400,
            _ => self.rng.next() % self.pace,
        };
        self.server.land(self.now);
    }

    fn create_pod(&mut self) {
        let n = self.rng.index(self.nodes.len());
        if self.pods_of(n).len() > self.crowd.min(20) {
            return;
        }
        let wants = (0..1 + self.rng.index(3)).map(|_| usize::from(self.rng.one_in(4))).collect();
        self.add_pod(n, wants);
    }

    pub(crate) fn add_pod(&mut self, node: usize, wants: Vec<usize>) -> PodId {
        let id = self.next_pod;
        self.next_pod += 1;
        let addresses = vec![None; wants.len()];
        let pod =
            Pod { node, wants, addresses, state: State::Pending, object: true, shown: false, excused: false };
        self.pods.insert(id, pod);
        id
    }

    fn any_pod(&mut self, is: impl Fn(&Pod) -> bool) -> Option<PodId> {
        let found: Vec<PodId> = self.pods.iter().filter(|(_, pod)| is(pod)).map(|(id, _)| *id).collect();
        self.rng.pick(&found).copied()
    }

    fn start_pod(&mut self) {
        if let Some(id) = self.any_pod(|pod| pod.state == State::Pending) {
            self.start_add(id);
        }
    }

    /// DEL. The object goes now or later.
    fn delete_pod(&mut self) {
        let busy = self.holders.len() > self.crowd;
        let Some(id) =
            self.any_pod(|pod| pod.state == State::Failed || (busy && pod.state == State::Running))
        else {
            return;
        };
        self.delete_leases(id);
        let at_once = self.rng.one_in(2);
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.state = State::Gone;
            pod.object &= !at_once;
        }
    }

    fn publish(&mut self) {
        let Some(id) = self.any_pod(|pod| pod.state == State::Running && !pod.shown && pod.object) else {
            return;
        };
        // Told by the ledger of its node: not where the folder was lost, or the node cannot be heard.
        let pod = &self.pods[&id];
        let known = self.nodes[pod.node].disk.leases.values().any(|(p, _)| *p == id);
        if known && !self.is_cut(pod.node) {
            self.pods.entry(id).and_modify(|pod| pod.shown = true);
        }
    }

    fn clean_objects(&mut self) {
        if let Some(id) = self.any_pod(|pod| pod.state == State::Gone) {
            self.pods.remove(&id);
        }
    }

    fn fault(&mut self) {
        let n = self.rng.index(self.nodes.len());
        match self.rng.index(24) {
            0..4 => self.nodes[n].cut_until = self.now + self.rng.next() % 5000,
            4 | 5 => self.reboot(n),
            6 => self.nodes[n].snapshot = Some(self.nodes[n].disk.clone()),
            7 => {
                if let Some(old) = self.nodes[n].snapshot.take() {
                    self.nodes[n].disk = old;
                    self.reboot(n);
                }
            }
            8 => self.wipe(n),
            9 => self.delete_node(n),
            10..12 => self.register(n),
            12 => {
                let cut = self.rng.index(self.nodes[n].disk.holdings.len());
                self.nodes[n].disk.holdings.truncate(cut);
            }
            13 | 14 => {
                let l = self.rng.index(2);
                self.leaders[l].frozen_until = self.now + self.rng.next() % 2000;
            }
            15 => {
                let l = self.rng.index(2);
                self.leaders[l] = crate::leader::Leader::default();
            }
            16 => self.server.back_up(),
            17 if self.rng.one_in(3) && self.server.restore() => {
                self.tally.restores += 1;
                self.taint();
            }
            18 if self.rng.one_in(6) => {
                let all: Vec<_> = self.server.blocks.keys().copied().collect();
                if let Some(block) = self.rng.pick(&all) {
                    self.server.blocks.remove(block);
                    self.taint();
                }
            }
            _ => {
                let at = self.rng.index(self.nodes[n].adds.len());
                if self.nodes[n].adds.len() > at {
                    let add = self.nodes[n].adds.remove(at);
                    self.pods.entry(add.pod).and_modify(|pod| pod.state = State::Failed);
                } else {
                    self.nodes[n].agent = None;
                }
                self.killed(n);
            }
        }
    }

    fn reboot(&mut self, n: usize) {
        self.tally.reboots += 1;
        self.all_die(n);
        self.nodes[n].reboot(self.now);
    }

    /// The contract: who deletes a Node says that the machine is off. This one runs on.
    fn delete_node(&mut self, n: usize) {
        if !self.nodes[n].registered || self.nodes.iter().filter(|n| n.registered).count() == 1 {
            return;
        }
        self.tally.nodes_lost += 1;
        self.nodes[n].registered = false;
        let pods = self.pods_of(n);
        self.excuse(&pods);
        for id in pods {
            // The garbage collector of pods takes most of them.
            let stays = self.rng.one_in(3);
            self.pods.entry(id).and_modify(|pod| pod.object &= stays);
        }
    }

    pub(crate) fn register(&mut self, n: usize) {
        if !self.nodes[n].registered {
            self.nodes[n].registered = true;
            self.nodes[n].generation += 1;
            self.nodes[n].watched.clear();
            // What ran with the token of the old Node object is refused from now on.
            for add in std::mem::take(&mut self.nodes[n].adds) {
                self.pods.entry(add.pod).and_modify(|pod| pod.state = State::Failed);
            }
            self.nodes[n].kill_all();
        }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, more: &Self) {
        let pairs: [(&mut u64, u64); 10] = [
            (&mut self.started, more.started),
            (&mut self.failed, more.failed),
            (&mut self.killed, more.killed),
            (&mut self.excused, more.excused),
            (&mut self.released, more.released),
            (&mut self.reboots, more.reboots),
            (&mut self.wipes, more.wipes),
            (&mut self.restores, more.restores),
            (&mut self.nodes_lost, more.nodes_lost),
            (&mut self.filled, more.filled),
        ];
        for (all, more) in pairs {
            *all += more;
        }
    }
}
