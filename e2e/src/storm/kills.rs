//! SIGKILL at system calls of every verb, then what a runtime does: everything is gone at the end.

use std::path::Path;

use super::bed::{How, Made};
use super::counts;
use super::figures::{Budget, Figures};
use super::networks::Topology;
use super::tracer::Fault;
use super::workers::{self, Found, Stage};

/// So much later a list of what is alive is younger than any ADD.
const LONG_AFTER_SECONDS: u64 = 4000;
/// A namespace is missed by the first look, and cleaned up after at the second.
const FIRST_LOOK_SECONDS: u64 = 100;

/// Which call is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Add,
    Del,
    Gc,
    /// The first ADD of a boot, which sweeps what the last one left.
    BootSweep,
    /// The process that undoes what nobody deletes.
    IdleSweep,
}

impl Victim {
    pub const ALL: [Self; 5] = [Self::Add, Self::Del, Self::Gc, Self::BootSweep, Self::IdleSweep];

    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Gc => "GC",
            Self::BootSweep => "the sweep of a boot",
            Self::IdleSweep => "the idle sweep",
        }
    }
}

/// Each system call of each verb is killed once, in an order that soon has been everywhere; then all of them again.
#[expect(clippy::indexing_slicing, reason = "the remainder of a division by the length")]
pub fn sweep(executable: &Path, seed: u64, threads: u64, budget: Budget) -> Figures {
    workers::play(executable, seed, threads, budget, &Topology::ALL, |stage, number, chance, figures| {
        let victim = Victim::ALL[number as usize % Victim::ALL.len()];
        let calls = stage.calls_of(victim)?;
        let at = 1 + counts::next((stage.bed.topology().name(), victim.name()), calls, seed);
        let fault = Fault::Kill { at, tree: chance.one_in(2) };
        let what = format!("{fault:?} of {}", victim.name());
        figures.count(&format!("kills of {}", victim.name()));
        told(stage.kill(victim, fault).and_then(|()| stage.end(victim, None)), &what, stage)
    })
}

/// Two kills at random: of a call, and of the call that cleans up after it.
pub fn double_faults(executable: &Path, seed: u64, threads: u64, budget: Budget) -> Figures {
    workers::play(executable, seed, threads, budget, &Topology::ALL, |stage, _, chance, figures| {
        let victim = *chance.pick(&Victim::ALL).unwrap_or(&Victim::Add);
        let (first, second) = (stage.calls_of(victim)?, stage.calls_of(Victim::Del)?);
        let one = Fault::Kill { at: 1 + chance.below(first), tree: chance.one_in(2) };
        let two = Fault::Kill { at: 1 + chance.below(second), tree: chance.one_in(2) };
        let what = format!("{one:?} of {} and {two:?} of what cleans up", victim.name());
        figures.count("double faults");
        told(stage.kill(victim, one).and_then(|()| stage.end(victim, Some(two))), &what, stage)
    })
}

/// A round's end: what it said, or what differs now.
fn told(round: Result<(), Wrong>, what: &str, stage: &mut Stage) -> Found {
    match round {
        Err(Wrong::Bed(error)) => Err(error),
        Err(Wrong::Product(said)) => Ok(Some(format!("{what}: {said}"))),
        Ok(()) => {
            let left = stage.differs()?;
            Ok((!left.is_empty()).then(|| format!("{what}: {}", left.join("; "))))
        }
    }
}

/// Whose fault it is that a round did not come to its end.
#[derive(Debug)]
pub enum Wrong {
    Bed(anyhow::Error),
    Product(String),
}

impl From<anyhow::Error> for Wrong {
    fn from(error: anyhow::Error) -> Self {
        Self::Bed(error)
    }
}

pub(super) fn must_succeed(made: &Made, what: &str) -> Result<(), Wrong> {
    if made.outcome.succeeded() {
        Ok(())
    } else {
        Err(Wrong::Product(format!("{what} did not succeed: {}", made.outcome)))
    }
}

impl Stage {
    fn add(&mut self) -> Result<(), Wrong> {
        let pod = self.sandbox.pod.clone();
        must_succeed(&self.bed.call("ADD", &pod, None, How::PLAIN)?, "ADD")
    }

    fn del(&mut self, how: How) -> Result<Made, Wrong> {
        let pod = self.sandbox.pod.clone();
        Ok(self.bed.call("DEL", &pod, None, how)?)
    }

    /// Everything up to the kill. A fault beyond the last call hits nothing, and the call ends as it should.
    fn kill(&mut self, victim: Victim, fault: Fault) -> Result<(), Wrong> {
        self.prepare(victim)?;
        let made = self.hit(victim, How::with(fault))?;
        let killed = made.outcome.signal == Some(9) && !made.outcome.timed_out;
        if killed { Ok(()) } else { must_succeed(&made, victim.name()) }
    }

    /// What has to be there before the verb has anything to do.
    fn prepare(&mut self, victim: Victim) -> Result<(), Wrong> {
        if victim == Victim::Add {
            return Ok(());
        }
        self.add()?;
        match victim {
            Victim::BootSweep => {
                self.sandbox.netns.delete();
                let boot = format!("boot-{}", self.sandbox.pod.container_id.get(..16).unwrap_or_default());
                Ok(self.bed.boot(&boot)?)
            }
            Victim::IdleSweep => self.miss(),
            _ => Ok(()),
        }
    }

    /// The namespace goes, and a call that comes by sees it.
    fn miss(&mut self) -> Result<(), Wrong> {
        self.sandbox.netns.delete();
        // A look is taken at most once a minute of that time.
        let _ = std::fs::remove_file(self.bed.state().join(".idle"));
        let stranger = crate::runtime::Pod::named("default", "stranger");
        let how = How { fault: Fault::None, later: FIRST_LOOK_SECONDS };
        must_succeed(&self.bed.call("DEL", &stranger, None, how)?, "DEL of a stranger")
    }

    fn hit(&mut self, victim: Victim, how: How) -> Result<Made, Wrong> {
        let pod = self.sandbox.pod.clone();
        let later = How { later: LONG_AFTER_SECONDS, ..how };
        Ok(match victim {
            Victim::Add => self.bed.call("ADD", &pod, None, how)?,
            Victim::Del => self.bed.call("DEL", &pod, None, how)?,
            Victim::Gc => self.bed.gc(&[], later)?,
            Victim::BootSweep => {
                let next = self.next()?;
                self.bed.call("ADD", &next, None, how)?
            }
            Victim::IdleSweep => self.bed.undo_forgotten(&pod, later)?,
        })
    }

    /// The pod that comes after a boot. It is deleted like any other at the end of the round.
    fn next(&mut self) -> Result<crate::runtime::Pod, Wrong> {
        let forgotten = std::mem::replace(&mut self.sandbox, self.bed.sandbox()?);
        drop(forgotten);
        Ok(self.sandbox.pod.clone())
    }

    /// What comes after a kill: the runtime's two DELs, or the verb once more where no DEL comes. With a second fault, one more
    /// of the same is killed before.
    fn end(&mut self, victim: Victim, second: Option<Fault>) -> Result<(), Wrong> {
        if let Some(fault) = second {
            let how = How::with(fault);
            let made = if is_cleaned_by_del(victim) { self.del(how)? } else { self.hit(victim, how)? };
            if made.outcome.signal != Some(9) {
                must_succeed(&made, "what cleans up")?;
            }
        }
        match victim {
            Victim::Add | Victim::Del => {}
            Victim::Gc | Victim::IdleSweep => {
                let how = How { fault: Fault::None, later: LONG_AFTER_SECONDS };
                let made = self.hit(victim, how)?;
                return must_succeed(&made, victim.name());
            }
            // The sweep goes on before the next ADD is answered.
            Victim::BootSweep => {
                must_succeed(&self.del(How::PLAIN)?, "DEL")?;
                self.sandbox.pod = self.bed.pod(&self.sandbox.netns);
                self.add()?;
            }
        }
        for _ in 0..2 {
            must_succeed(&self.del(How::PLAIN)?, "DEL")?;
        }
        Ok(())
    }

    /// How many system calls the verb makes on this bed; measured when it is first asked.
    fn calls_of(&mut self, victim: Victim) -> anyhow::Result<u64> {
        let key = (self.bed.topology().name(), victim.name());
        if let Some(known) = counts::known(&key) {
            return Ok(known);
        }
        let count = Fault::Kill { at: u64::MAX, tree: false };
        let calls = self.prepare(victim).and_then(|()| self.hit(victim, How::with(count))).and_then(|made| {
            must_succeed(&made, victim.name())?;
            let calls = made.traced.map_or(0, |traced| traced.calls);
            self.end(victim, None).map(|()| calls)
        });
        match calls {
            Ok(calls) => {
                counts::learn(key, calls);
                self.renew()?;
                Ok(calls)
            }
            Err(Wrong::Bed(error)) => Err(error),
            Err(Wrong::Product(said)) => anyhow::bail!("before any kill: {said}"),
        }
    }
}

/// Nobody deletes what GC and the idle sweep are for.
fn is_cleaned_by_del(victim: Victim) -> bool {
    !matches!(victim, Victim::Gc | Victim::IdleSweep)
}
