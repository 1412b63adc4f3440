//! ADD and the node agent, in steps.

use manifold_addresses::agent::{PoolInUse, tasks};
use manifold_addresses::claim::{Search, candidates, mode, room_on_node, want};
use manifold_addresses::give::{Shortage, next_address};
use manifold_addresses::holdings::Holdings;
use manifold_crds::ipam::{BlockCidr, Mode};

use crate::bug::Bug;
use crate::node::{Add, Killed, PodId};
use crate::pod::State;
use crate::session::{Job, Progress, Session};
use crate::world::{World, reopened};

const ROUNDS: u32 = 3;

impl World {
    pub(crate) fn start_add(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        pod.state = State::Starting;
        let n = pod.node;
        self.nodes[n].adds.push(Add { pod: id, chosen: None, session: None, rounds: 0 });
    }

    pub(crate) fn step_add(&mut self, n: usize, at: usize) {
        if at >= self.nodes[n].adds.len() {
            return;
        }
        let mut add = self.nodes[n].adds.remove(at);
        let id = add.pod;
        match self.advance(n, &mut add) {
            Ok(true) => self.nodes[n].adds.insert(at, add),
            Ok(false) => {}
            Err(Killed) => {
                self.killed(n);
                self.set_state(id, State::Failed);
            }
        }
    }

    fn set_state(&mut self, id: PodId, state: State) {
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.state = state;
        }
    }

    /// Whether it goes on.
    fn advance(&mut self, n: usize, add: &mut Add) -> Result<bool, Killed> {
        self.kill_point()?;
        if let Some(session) = &mut add.session
            && !session.is_done()
        {
            session.step(self, n)?;
            return Ok(true);
        }
        let missing = match self.give(n, add) {
            Given::All => {
                self.tally.started += 1;
                self.set_state(add.pod, State::Running);
                return Ok(false);
            }
            Given::Later => return Ok(true),
            Given::Missing(pool, missing, shortage) => (pool, missing, shortage),
        };
        let may_claim = add.session.is_some() || !self.nodes[n].is_claiming();
        if !may_claim {
            // Waits for the claiming lock, or for as long as an ADD may take.
            add.rounds += u32::from(self.rng.one_in(20));
        } else {
            add.rounds += 1;
        }
        if add.rounds > ROUNDS || missing.2.paused {
            self.delete_leases(add.pod);
            self.tally.failed += 1;
            let pod = self.pods.get_mut(&add.pod);
            if let Some(pod) = pod {
                pod.addresses.iter_mut().for_each(|ip| *ip = None);
                pod.state = State::Pending;
            }
            return Ok(false);
        }
        if may_claim {
            let jobs = self.jobs_for(n, missing);
            add.session = Some(Session::new(self, n, jobs));
        }
        Ok(true)
    }

    fn jobs_for(&mut self, n: usize, (pool, missing, shortage): (usize, u32, Shortage)) -> Vec<Job> {
        let holdings = self.holdings(n);
        if shortage.unconfirmed > 0 {
            let now = self.nodes[n].now(self.now);
            let stale = holdings.iter().filter(|(_, h)| !h.is_confirmed(&now));
            return stale.map(|(block, _)| Job::Reconcile(block)).collect();
        }
        vec![self.claim_job(n, pool, missing, &holdings, false)]
    }

    fn claim_job(&mut self, n: usize, pool: usize, missing: u32, holdings: &Holdings, only_new: bool) -> Job {
        let hints = self.hints(pool);
        let of_pool = &self.pools[pool];
        let mode = mode(of_pool, &hints);
        let want = want(mode, missing, room_on_node(of_pool, holdings));
        let found = candidates(of_pool, mode, &hints, holdings, Search::Some, &mut self.rng);
        debug_assert!(n < self.nodes.len());
        Job::Claim { pool, want, candidates: found.into(), only_new, reads_first: mode == Mode::Singles }
    }

    /// Under the domain's lock: for each interface the next free address, its lease made first.
    fn give(&mut self, n: usize, add: &mut Add) -> Given {
        let wants = self.pods[&add.pod].wants.clone();
        if let Some((interface, ip)) = add.chosen.take() {
            self.make_lease(n, add.pod, interface, ip);
        }
        let mut missing: Option<(usize, u32, Shortage)> = None;
        for (interface, pool) in wants.iter().enumerate() {
            if self.pods[&add.pod].addresses[interface].is_some() {
                continue;
            }
            match self.next(n, *pool) {
                Ok(ip) if self.bug == Some(Bug::LeaseAfterChoice) => {
                    add.chosen = Some((interface, ip));
                    return Given::Later;
                }
                Ok(ip) => self.make_lease(n, add.pod, interface, ip),
                Err(shortage) => match &mut missing {
                    None => missing = Some((*pool, 1, shortage)),
                    Some((p, count, _)) => *count += u32::from(p == pool),
                },
            }
        }
        missing.map_or(Given::All, |(pool, count, shortage)| Given::Missing(pool, count, shortage))
    }

    fn next(&mut self, n: usize, pool: usize) -> Result<std::net::IpAddr, Shortage> {
        let (mut holdings, now) = (self.holdings(n), self.nodes[n].now(self.now));
        if self.bug == Some(Bug::ClosingIgnored) {
            holdings = reopened(&holdings);
        }
        if self.bug == Some(Bug::ConfirmationSkipped) {
            let all: Vec<_> = holdings.iter().map(|(block, h)| (block, h.withheld)).collect();
            all.into_iter().for_each(|(block, withheld)| holdings.confirm(block, withheld, &now));
        }
        next_address(&self.pools[pool], &holdings, &self.nodes[n].leases(), &now)
    }

    fn make_lease(&mut self, n: usize, id: PodId, interface: usize, ip: std::net::IpAddr) {
        let disk = &mut self.nodes[n].disk;
        disk.leases.insert(ip, (id, interface));
        disk.freed.remove(&ip);
        disk.last = Some(ip);
        self.hold(id, interface, ip);
    }

    // The node agent.

    pub(crate) fn step_agent(&mut self, n: usize) {
        let Some(mut session) = self.nodes[n].agent.take() else { return self.start_agent(n) };
        match session.step(self, n) {
            Ok(Progress::More) => self.nodes[n].agent = Some(session),
            Ok(Progress::Done) => {}
            Err(Killed) => self.killed(n),
        }
    }

    fn start_agent(&mut self, n: usize) {
        if self.nodes[n].is_claiming() {
            return;
        }
        // Its watch may be behind.
        if !self.is_cut(n) && !self.rng.one_in(4) {
            self.nodes[n].watched = self.watch(n);
        }
        let (holdings, leases) = (self.holdings(n), self.nodes[n].leases());
        let (me, now) = (self.nodes[n].identity(), self.nodes[n].now(self.now));
        let mut idle = std::mem::take(&mut self.nodes[n].idle);
        let in_use: Vec<PoolInUse<'_>> =
            self.pools.iter().zip(&self.modes).map(|(pool, mode)| PoolInUse { pool, mode: *mode }).collect();
        let found = tasks(&holdings, &leases, &self.nodes[n].watched, &in_use, &mut idle, &me, &now);
        self.nodes[n].idle = idle;
        let mut jobs: Vec<Job> = found.iter().filter_map(|task| Session::of_task(*task)).collect();
        if self.bug == Some(Bug::NothingReleased) {
            jobs.retain(|job| !matches!(job, Job::Release(..)));
        }
        if self.bug == Some(Bug::OrphansIgnored) {
            jobs.retain(|job| !matches!(job, Job::Reconcile(block) if holdings.get(*block).is_none()));
        }
        if found.len() > jobs.len() && self.bug.is_none() {
            jobs.push(self.claim_job(n, 0, 1, &holdings, true));
        }
        let session = Session::new(self, n, jobs);
        self.nodes[n].agent = (!session.is_done()).then_some(session);
    }

    /// What the label's watch shows.
    fn watch(&self, n: usize) -> crate::api::Blocks {
        let uid: manifold_crds::ipam::NodeUid = self.nodes[n].uid().parse().unwrap();
        let own = self.server.blocks.iter().filter(|(_, stored)| stored.spec.nodes().contains(&uid));
        own.map(|(block, stored): (&BlockCidr, _)| (*block, stored.clone())).collect()
    }
}

enum Given {
    All,
    Later,
    /// A pool, how many addresses of it, and why.
    Missing(usize, u32, Shortage),
}
