//! Random histories of some sandboxes on one node, over the real executable: after each step the node is compared with a model.
//!
//! A reboot takes the namespaces and changes the boot id; definitions that cannot be had stand for an API server that is away.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use nix::errno::Errno;
use serde_json::Value;

use super::bed::{Bed, How, Made, Sandbox};
use super::chance::Chance;
use super::errnos::ERRNOS;
use super::figures::{Budget, Figures};
use super::model::{self, End, Leases, STEPS, State, Step};
use super::networks::Topology;
use super::tracer::Fault;

const SANDBOXES: u64 = 4;
/// Kills and refusals happen at one of so many first system calls.
const MOST_CALLS: u64 = 1500;
const LONG_AFTER_SECONDS: u64 = 4000;
/// A suite that finds so much is stopped.
const MOST_BAD: usize = 10;

/// So many histories of so many steps, each from a number of its own.
pub fn play(executable: &Path, seed: u64, threads: u64, budget: Budget, steps: u64) -> Figures {
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let mut all = Figures::default();
    thread::scope(|scope| {
        let work: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| worker(executable, seed, budget, steps, &next))).collect();
        for one in work {
            all.join(one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    all.took = begin.elapsed();
    all
}

fn worker(executable: &Path, seed: u64, budget: Budget, steps: u64, next: &AtomicU64) -> Figures {
    let mut figures = Figures::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if budget.is_spent(number) || figures.bad.len() >= MOST_BAD {
            return figures;
        }
        // A bed does not share its thread.
        let one = thread::scope(|scope| {
            let history = scope.spawn(|| one(executable, seed, number, steps, budget));
            history.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        figures.join(one);
    }
}

fn one(executable: &Path, seed: u64, number: u64, steps: u64, budget: Budget) -> Figures {
    let mut figures = Figures::default();
    let topologies = [Topology::Plain, Topology::Masquerade, Topology::Executed];
    let topology = topologies.get(number as usize % topologies.len()).copied().unwrap_or(Topology::Plain);
    let mut log = Vec::new();
    let played = History::new(executable, topology, Chance::new(seed).part(number))
        .and_then(|mut history| history.run(steps, budget, &mut figures, &mut log));
    let last = log.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join(", ");
    let place =
        format!("seed {seed}, history {number} ({}), {} steps, the last: {last}", topology.name(), log.len());
    match played {
        Ok(None) => figures.count("histories"),
        Ok(Some(wrong)) => figures.bad.push(format!("{place}: {wrong}")),
        Err(error) => figures.bad.push(format!("{place}: the bed failed: {error:#}")),
    }
    figures
}

/// A sandbox, what the model knows of it, and the result that the runtime keeps.
struct Known {
    sandbox: Sandbox,
    state: State,
    result: Option<Value>,
}

struct History {
    bed: Bed,
    known: Vec<Known>,
    /// Sandboxes of an earlier boot: nobody deletes them.
    stale: Vec<String>,
    /// An error was injected while the sweep of a boot was due.
    disturbed: bool,
    chance: Chance,
    boots: u32,
    /// Leases and interfaces of a sandbox that is whole.
    whole: (usize, usize),
}

impl History {
    fn new(executable: &Path, topology: Topology, chance: Chance) -> anyhow::Result<Self> {
        let mut bed = Bed::on_this_thread(executable, topology)?;
        let first = bed.sandbox()?;
        bed.warm(&first)?;
        let added = bed.call("ADD", &first.pod, None, How::PLAIN)?;
        anyhow::ensure!(added.outcome.succeeded(), "the first ADD: {}", added.outcome);
        let leases = leases(&bed).get(&first.pod.container_id).map_or(0, Vec::len);
        let whole = (leases, bed.links_of(&first)?);
        bed.call("DEL", &first.pod, None, How::PLAIN)?;
        let known = (0..SANDBOXES)
            .map(|_| Ok(Known { sandbox: bed.sandbox()?, state: State::Absent, result: None }))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { bed, known, stale: Vec::new(), disturbed: false, chance, boots: 0, whole })
    }

    /// A sentence about the first step after which the node is not as it should be.
    fn run(
        &mut self,
        steps: u64,
        budget: Budget,
        figures: &mut Figures,
        log: &mut Vec<String>,
    ) -> anyhow::Result<Option<String>> {
        for _ in 0..steps {
            // Time is over in the midst of a history: what it has shown counts.
            if Instant::now() >= budget.end {
                break;
            }
            let step = self.draw();
            let which = self.chance.below(SANDBOXES) as usize;
            log.push(format!("{step:?} {which}"));
            *figures.noted.entry("steps of histories".to_owned()).or_default() += 1;
            if let Some(wrong) = self.step(step, which)? {
                return Ok(Some(wrong));
            }
        }
        self.finish()
    }

    fn draw(&mut self) -> Step {
        let all: u64 = STEPS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.chance.below(all);
        for (step, weight) in STEPS {
            if left < weight {
                return step;
            }
            left -= weight;
        }
        Step::Add
    }

    fn step(&mut self, step: Step, which: usize) -> anyhow::Result<Option<String>> {
        if step == Step::Reboot {
            return self.reboot().map(|()| None);
        }
        let made = self.make(step, which)?;
        let end = match (made.outcome.succeeded(), made.outcome.signal) {
            (true, _) => End::Success,
            (false, Some(9)) if !made.outcome.timed_out => End::Killed,
            _ => End::Failure(made.outcome.error_code().unwrap_or_default()),
        };
        if let End::Failure(0) = end {
            return Ok(Some(format!("no error that a runtime can read: {}", made.outcome)));
        }
        self.note_sweep(step, end);
        let Some(known) = self.known.get_mut(which) else { return Ok(None) };
        match model::after(step, known.state, end) {
            Err(wrong) => return Ok(Some(format!("{wrong}: {}", made.outcome))),
            Ok(state) => known.state = state,
        }
        if known.state == State::Attached && made.outcome.result().is_some() {
            known.result = made.outcome.result();
        }
        Ok(self.compare()?.map(|wrong| format!("{wrong}; the last call: {}", made.outcome)))
    }

    /// The sweep of a boot is over before an ADD is answered; what it was kept from, GC takes.
    fn note_sweep(&mut self, step: Step, end: End) {
        self.disturbed |= step == Step::RefuseAdd && !self.stale.is_empty();
        let swept = step == Step::Add && !self.disturbed;
        if end == End::Success && (swept || matches!(step, Step::Gc | Step::Forget)) {
            self.stale.clear();
            self.disturbed = false;
        }
    }

    fn make(&mut self, step: Step, which: usize) -> anyhow::Result<Made> {
        let at = 1 + self.chance.below(MOST_CALLS);
        let errno = self.chance.pick(&ERRNOS).copied().unwrap_or(Errno::EIO);
        let kill = How::with(Fault::Kill { at, tree: true });
        let refuse = How::with(Fault::Fail { at: 1 + at / 4, errno });
        let alive: Vec<usize> =
            (0..self.known.len()).filter(|n| step != Step::Forget || *n != which).collect();
        let known = self.known.get(which).context("a sandbox")?;
        let (pod, result) = (known.sandbox.pod.clone(), known.result.clone());
        match step {
            Step::Add => self.bed.call("ADD", &pod, None, How::PLAIN),
            Step::KillAdd => self.bed.call("ADD", &pod, None, kill),
            Step::RefuseAdd => self.bed.call("ADD", &pod, None, refuse),
            Step::Del => self.bed.call("DEL", &pod, result, How::PLAIN),
            Step::KillDel => self.bed.call("DEL", &pod, None, kill),
            Step::RefuseDel => self.bed.call("DEL", &pod, None, refuse),
            Step::Check => self.bed.call("CHECK", &pod, Some(result.unwrap_or_else(no_result)), How::PLAIN),
            Step::Gc | Step::Forget => {
                let pods: Vec<_> = alive
                    .iter()
                    .filter_map(|n| self.known.get(*n))
                    .map(|one| one.sandbox.pod.clone())
                    .collect();
                let how = How { fault: Fault::None, later: LONG_AFTER_SECONDS };
                self.bed.gc(&pods.iter().collect::<Vec<_>>(), how)
            }
            Step::AddWithoutDefinitions | Step::DelWithoutDefinitions => {
                let verb = if step == Step::AddWithoutDefinitions { "ADD" } else { "DEL" };
                let (there, away) = (self.bed.folder("manifests"), self.bed.folder("away"));
                fs::rename(&there, &away).context("cannot take the definitions away")?;
                let made = self.bed.call(verb, &pod, None, How::PLAIN);
                fs::rename(&away, &there).context("cannot bring the definitions back")?;
                made
            }
            Step::Reboot => anyhow::bail!("a reboot is no call"),
        }
    }

    /// All namespaces are gone, and so are the pods; new ones come.
    fn reboot(&mut self) -> anyhow::Result<()> {
        self.boots += 1;
        self.bed.boot(&format!("boot-{}", self.boots))?;
        for known in &mut self.known {
            if known.state != State::Absent {
                self.stale.push(known.sandbox.pod.container_id.clone());
            }
            known.sandbox.netns.delete();
            *known = Known { sandbox: self.bed.sandbox()?, state: State::Absent, result: None };
        }
        Ok(())
    }

    fn compare(&self) -> anyhow::Result<Option<String>> {
        let leases = leases(&self.bed);
        for (number, known) in self.known.iter().enumerate() {
            let id = &known.sandbox.pod.container_id;
            let entry = self.bed.state().join(id).exists();
            let count = leases.get(id).map_or(0, Vec::len);
            let links = self.bed.links_of(&known.sandbox)?;
            if let Err(wrong) = model::compare(known.state, entry, count, links, self.whole) {
                return Ok(Some(format!("sandbox {number} is {:?}: {wrong}", known.state)));
            }
        }
        // Addresses of nobody: neither of a sandbox that is known nor of one that the sweep will come to.
        let is_known = |id: &String| {
            self.known.iter().any(|known| known.sandbox.pod.container_id == *id) || self.stale.contains(id)
        };
        Ok(leases.keys().find(|id| !is_known(id)).map(|id| format!("addresses of nobody: {id}")))
    }

    /// Everything is deleted, and a last pod comes and goes, before which the sweep of a boot takes what is left.
    fn finish(&mut self) -> anyhow::Result<Option<String>> {
        for which in 0..self.known.len() {
            if let Some(wrong) = self.step(Step::Del, which)? {
                return Ok(Some(wrong));
            }
        }
        for step in [Step::Gc, Step::Add, Step::Del] {
            if let Some(wrong) = self.step(step, 0)? {
                return Ok(Some(wrong));
            }
        }
        let left: Vec<String> = leases(&self.bed).into_keys().collect();
        let entries = entries(&self.bed);
        let clean = left.is_empty() && entries.is_empty();
        Ok((!clean).then(|| format!("at the end there are addresses of {left:?} and entries of {entries:?}")))
    }
}

/// A result that no ADD gave, for a CHECK of what is not attached.
fn no_result() -> Value {
    serde_json::json!({"cniVersion": "1.1.0", "interfaces": [], "ips": []})
}

/// The addresses by the container that has each: the first line of host-local's files.
fn leases(bed: &Bed) -> Leases {
    let mut found = Leases::new();
    for network in fs::read_dir(bed.folder("lib/cni/networks")).into_iter().flatten().flatten() {
        for file in fs::read_dir(network.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name == "lock" || name.starts_with("last_reserved_ip") {
                continue;
            }
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            found.entry(text.lines().next().unwrap_or_default().trim().to_owned()).or_default().push(name);
        }
    }
    found
}

fn entries(bed: &Bed) -> Vec<String> {
    let found = fs::read_dir(bed.state()).into_iter().flatten().flatten();
    let names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}
