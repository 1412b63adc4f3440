//! What a process does under the claiming lock of its node, in steps between which anything else may happen: reading,
//! writing files, sending, hearing. It may be killed between any two of them.

use std::collections::VecDeque;

use manifold_addresses::agent::Task;
use manifold_addresses::api::{Stored, Write};
use manifold_addresses::claim::{Attempt, Want, attempt};
use manifold_addresses::holdings::{Holdings, Part};
use manifold_addresses::reconcile::{OnNode, Step, mark_lost_store, reconcile};
use manifold_addresses::release::release;
use manifold_crds::ipam::BlockCidr;

use crate::api::Answer;
use crate::bug::Bug;
use crate::node::Killed;
use crate::world::World;

#[derive(Clone, Debug)]
pub(crate) enum Job {
    Reconcile(BlockCidr),
    Release(BlockCidr, u16),
    MarkLostStore(BlockCidr),
    /// The first that can be had; `only_new`: only blocks without an object.
    Claim {
        pool: usize,
        want: Want,
        candidates: VecDeque<BlockCidr>,
        only_new: bool,
        reads_first: bool,
    },
}

#[derive(Debug)]
enum At {
    Begin,
    Got(Box<Option<Stored>>),
    Ready { write: Write, part: Option<Part>, withheld: u16 },
    Heard { answer: Answer, part: Option<Part>, withheld: u16 },
}

#[derive(Debug)]
pub(crate) struct Session {
    jobs: VecDeque<Job>,
    at: At,
    tries: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

impl Session {
    /// Intents of the dead first.
    pub(crate) fn new(world: &World, n: usize, jobs: impl IntoIterator<Item = Job>) -> Self {
        let intents = world.nodes[n].intents();
        let settle = intents.into_iter().map(|intent| Job::Reconcile(intent.block));
        Self { jobs: settle.chain(jobs).collect(), at: At::Begin, tries: 0 }
    }

    pub(crate) fn of_task(task: Task) -> Option<Job> {
        match task {
            Task::Reconcile(block) => Some(Job::Reconcile(block)),
            Task::Release(block, mask) => Some(Job::Release(block, mask)),
            Task::MarkLostStore(block) => Some(Job::MarkLostStore(block)),
            Task::TopUp => None,
        }
    }

    pub(crate) fn step(&mut self, world: &mut World, n: usize) -> Result<Progress, Killed> {
        let Some(job) = self.jobs.front().cloned() else { return Ok(Progress::Done) };
        match std::mem::replace(&mut self.at, At::Begin) {
            At::Begin => self.begin(world, n, &job)?,
            At::Got(read) => self.got(world, n, &job, *read)?,
            At::Ready { write, part, withheld } => {
                if world.bug == Some(Bug::TakenBeforeYes)
                    && let Some(part) = part
                {
                    let block = write.block();
                    world.change(n, |h, now| h.take(block, part, withheld, now))?;
                }
                let answer = world.send(n, &write);
                self.at = At::Heard { answer, part, withheld };
            }
            At::Heard { answer, part, withheld } => self.heard(world, n, &job, answer, part, withheld)?,
        }
        Ok(if self.jobs.is_empty() { Progress::Done } else { Progress::More })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.jobs.is_empty()
    }

    fn done(&mut self) {
        self.jobs.pop_front();
        self.at = At::Begin;
        self.tries = 0;
    }

    /// Reads, as a process that waits for a server would; gives up where it hears nothing.
    fn read(&mut self, world: &mut World, n: usize, block: BlockCidr) {
        match world.get(n, block) {
            Some(read) => self.at = At::Got(Box::new(read)),
            None => self.done(),
        }
    }

    fn begin(&mut self, world: &mut World, n: usize, job: &Job) -> Result<(), Killed> {
        match job {
            Job::Reconcile(block) | Job::MarkLostStore(block) => self.read(world, n, *block),
            Job::Release(block, mask) => {
                let (block, mask) = (*block, *mask);
                let busy = world.busy(n, block);
                if world.holdings(n).get(block).is_none() {
                    self.done();
                    return Ok(());
                }
                // Of a block that goes whole, what is leased stays as single addresses; a single one goes when it is free.
                world.change(n, |h, _| {
                    let whole = h.get(block).is_some_and(|holding| holding.part == Part::Whole);
                    h.close(block, if whole { u16::MAX } else { mask & !busy });
                })?;
                self.read(world, n, block);
            }
            Job::Claim { candidates, reads_first, .. } => match candidates.front() {
                None => self.done(),
                Some(block) if *reads_first => self.read(world, n, *block),
                Some(_) => self.at = At::Got(Box::new(None)),
            },
        }
        Ok(())
    }

    fn got(&mut self, world: &mut World, n: usize, job: &Job, read: Option<Stored>) -> Result<(), Killed> {
        match job {
            Job::Reconcile(block) => return self.reconcile(world, n, *block, read),
            Job::MarkLostStore(_) => {
                let write = read.and_then(|stored| mark_lost_store(&stored, &world.nodes[n].identity()));
                match write {
                    Some(write) => self.at = At::Ready { write, part: None, withheld: 0 },
                    None => self.done(),
                }
            }
            Job::Release(block, _) => {
                let holdings = world.holdings(n);
                let busy = if world.bug == Some(Bug::LeasedForgotten) { 0 } else { world.busy(n, *block) };
                let me = world.nodes[n].identity();
                let found =
                    read.as_ref().zip(holdings.get(*block)).and_then(|(r, h)| release(r, h, busy, &me));
                match found {
                    Some(go) => {
                        self.at = At::Ready { write: go.write, part: Some(go.left), withheld: go.withheld }
                    }
                    None => return self.reconcile(world, n, *block, read),
                }
            }
            Job::Claim { pool, want, candidates, only_new, .. } => {
                let Some(block) = candidates.front().copied() else { return Ok(()) };
                let holdings = world.holdings(n);
                let held = holdings.get(block).map_or(0, |h| h.part.mask() & !h.closing);
                let me = world.nodes[n].identity();
                let found = attempt(block, read.as_ref(), *want, &world.pools[*pool], held, &me);
                match found {
                    Attempt::Send(write, part) if !*only_new || matches!(write, Write::Create(_)) => {
                        world.kill_point()?;
                        world.nodes[n].add_intent(block);
                        world.kill_point()?;
                        self.at = At::Ready { write, part: Some(part), withheld: 0 };
                    }
                    Attempt::Reconcile => {
                        self.next_candidate();
                        self.jobs.push_front(Job::Reconcile(block));
                    }
                    _ => {
                        world.nodes[n].remove_intent(block);
                        self.next_candidate();
                    }
                }
            }
        }
        Ok(())
    }

    /// The server was put back meanwhile: the connection broke.
    pub(crate) fn lose_answer(&mut self) {
        if let At::Heard { answer, .. } = &mut self.at {
            *answer = Answer::Unknown;
        }
    }

    fn next_candidate(&mut self) {
        self.at = At::Begin;
        self.tries = 0;
        let Some(Job::Claim { candidates, .. }) = self.jobs.front_mut() else { return };
        candidates.pop_front();
        if candidates.is_empty() {
            self.done();
        }
    }

    fn reconcile(
        &mut self,
        world: &mut World,
        n: usize,
        block: BlockCidr,
        read: Option<Stored>,
    ) -> Result<(), Killed> {
        let me = world.nodes[n].identity();
        let holdings = world.holdings(n);
        let now = world.nodes[n].now(world.now);
        let leased = world.nodes[n].leases().mask(block);
        let here =
            OnNode { domain: &holdings.domain, block, holding: holdings.get(block), leased, now: &now };
        match reconcile(read.as_ref(), &here, &me).step {
            Step::Confirm { withheld } => {
                world.change(n, |h, now| h.confirm(block, withheld, now))?;
                self.settled(world, n, block)?;
            }
            Step::Drop => {
                world.change(n, |h, _| h.shrink(block, 0))?;
                self.settled(world, n, block)?;
            }
            Step::Write { keep, close, write, part, withheld } => {
                world.change(n, |h, _| {
                    h.shrink(block, keep);
                    h.close(block, close);
                })?;
                if world.bug == Some(Bug::TakenOnRead) && matches!(write, Write::Replace { .. }) {
                    world.change(n, |h, now| h.take(block, part, withheld, now))?;
                    return self.settled(world, n, block);
                }
                self.at = At::Ready { write, part: Some(part), withheld };
            }
        }
        Ok(())
    }

    /// The intent goes last.
    fn settled(&mut self, world: &mut World, n: usize, block: BlockCidr) -> Result<(), Killed> {
        world.kill_point()?;
        world.nodes[n].remove_intent(block);
        self.done();
        Ok(())
    }

    fn heard(
        &mut self,
        world: &mut World,
        n: usize,
        job: &Job,
        answer: Answer,
        part: Option<Part>,
        withheld: u16,
    ) -> Result<(), Killed> {
        let block = match job {
            Job::Reconcile(block) | Job::MarkLostStore(block) | Job::Release(block, _) => *block,
            Job::Claim { candidates, .. } => candidates.front().copied().unwrap_or_else(|| unreachable!()),
        };
        match (answer, part) {
            (Answer::Applied, Some(part)) => {
                world.change(n, |h: &mut Holdings, now| h.take(block, part, withheld, now))?;
                self.settled(world, n, block)?;
            }
            (Answer::Applied, None) => self.done(),
            (Answer::Conflict, _) => {
                self.tries += 1;
                match job {
                    Job::Claim { .. } if self.tries > 3 => {
                        world.nodes[n].remove_intent(block);
                        self.next_candidate();
                    }
                    _ if self.tries > 3 => self.done(),
                    _ => self.read(world, n, block),
                }
            }
            // The intent stays for whoever has the lock next, unless one GET says it all now.
            (Answer::Unknown, _) if matches!(job, Job::Claim { .. }) => {
                self.done();
                self.jobs.push_front(Job::Reconcile(block));
            }
            (Answer::Unknown, _) => self.done(),
        }
        Ok(())
    }
}
