//! Rounds on several threads, each with beds of its own. A bed that went wrong is left, and a new one takes its place.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::bed::{Bed, Sandbox};
use super::chance::Chance;
use super::figures::{Budget, Figures};
use super::networks::Topology;
use crate::leaks::{Glance, Snapshot};

/// After so many rounds the leak oracle looks at everything, and at the end.
const ROUNDS_BETWEEN_ORACLES: u64 = 100;
/// A suite that finds so much is stopped.
const MOST_BAD: usize = 25;

/// A bed with an empty sandbox, on which networks have come and gone: bridges stay when the last pod goes.
#[derive(Debug)]
pub struct Stage {
    pub bed: Bed,
    pub sandbox: Sandbox,
    pub rest: Glance,
    whole: Snapshot,
}

impl Stage {
    pub fn new(executable: &Path, topology: Topology) -> anyhow::Result<Self> {
        let mut bed = Bed::on_this_thread(executable, topology)?;
        let sandbox = bed.sandbox()?;
        bed.warm(&sandbox)?;
        let whole = bed.snapshot(&[&sandbox])?;
        let rest = bed.glance(&[&sandbox])?;
        Ok(Self { bed, sandbox, rest, whole })
    }

    /// Another sandbox takes the place of the last, in the same namespace where that is empty again.
    pub fn renew(&mut self) -> anyhow::Result<()> {
        if self.sandbox.netns.path().exists() {
            self.sandbox.pod = self.bed.pod(&self.sandbox.netns);
        } else {
            self.sandbox = self.bed.sandbox()?;
        }
        Ok(())
    }

    /// What is there that should not be, or the other way round.
    /// A namespace that is gone has nothing; a new one takes its place.
    pub fn differs(&mut self) -> anyhow::Result<Vec<String>> {
        if !self.sandbox.netns.path().exists() {
            self.sandbox = self.bed.sandbox()?;
        }
        self.bed.differs(&[&self.sandbox], &self.rest)
    }

    /// The same, with everything that the leak oracle knows.
    pub fn leaks(&mut self) -> anyhow::Result<Vec<String>> {
        if !self.sandbox.netns.path().exists() {
            self.sandbox = self.bed.sandbox()?;
        }
        self.bed.leaks(&[&self.sandbox], &self.whole)
    }
}

/// What one round found: nothing, or a sentence.
pub type Found = anyhow::Result<Option<String>>;

/// Plays rounds until the budget is spent. `round` gets the stage, its number, and chance that the seed and the number decide; it
/// counts what it tried.
pub fn play<R>(
    executable: &Path,
    seed: u64,
    threads: u64,
    budget: Budget,
    topologies: &[Topology],
    round: R,
) -> Figures
where
    R: Fn(&mut Stage, u64, &mut Chance, &mut Figures) -> Found + Sync,
{
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let mut all = Figures::default();
    thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|number| {
                let (next, round) = (&next, &round);
                scope.spawn(move || worker(executable, seed, number, budget, topologies, next, round))
            })
            .collect();
        for one in work {
            all.join(one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    all.took = begin.elapsed();
    all
}

/// A thread for each bed, as a bed does not share its thread.
fn worker<R>(
    executable: &Path,
    seed: u64,
    number: u64,
    budget: Budget,
    topologies: &[Topology],
    next: &AtomicU64,
    round: &R,
) -> Figures
where
    R: Fn(&mut Stage, u64, &mut Chance, &mut Figures) -> Found + Sync,
{
    let mut figures = Figures::default();
    let mut turn = number;
    while !budget.is_spent(next.load(Ordering::Relaxed)) && figures.bad.len() < MOST_BAD {
        let at = usize::try_from(turn).unwrap_or_default() % topologies.len().max(1);
        let topology = topologies.get(at).copied().unwrap_or(Topology::Plain);
        let part = thread::scope(|scope| {
            let bed = scope.spawn(move || on_one_bed(executable, seed, topology, budget, next, round));
            bed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        figures.join(part);
        turn += 1;
    }
    figures
}

/// Until the bed has had its rounds, or something went wrong on it.
fn on_one_bed<R>(
    executable: &Path,
    seed: u64,
    topology: Topology,
    budget: Budget,
    next: &AtomicU64,
    round: &R,
) -> Figures
where
    R: Fn(&mut Stage, u64, &mut Chance, &mut Figures) -> Found + Sync,
{
    let mut figures = Figures::default();
    let mut stage = match Stage::new(executable, topology) {
        Ok(stage) => stage,
        Err(error) => {
            figures.bad.push(format!("no bed of `{}`: {error:#}", topology.name()));
            return figures;
        }
    };
    for _ in 0..ROUNDS_BETWEEN_ORACLES {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if budget.is_spent(number) {
            break;
        }
        let mut chance = Chance::new(seed).part(number);
        let found = stage.renew().and_then(|()| round(&mut stage, number, &mut chance, &mut figures));
        let place = format!("seed {seed}, round {number}, {}", topology.name());
        match found {
            Ok(None) => {}
            Ok(Some(what)) => figures.bad.push(format!("{place}: {what}")),
            Err(error) => figures.bad.push(format!("{place}: the bed failed: {error:#}")),
        }
        if !figures.bad.is_empty() {
            return figures;
        }
    }
    match stage.leaks() {
        Ok(leaks) if leaks.is_empty() => {}
        Ok(leaks) => figures.bad.push(format!(
            "seed {seed}, {}: after some rounds the leak oracle tells: {}",
            topology.name(),
            leaks.join("; ")
        )),
        Err(error) => figures.bad.push(format!("{}: the oracle cannot see: {error:#}", topology.name())),
    }
    figures
}
