//! Many calls at the same time: as many pods as a node holds, a range with not one address to spare, and four calls that want
//! the same sandbox.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::bed::{Bed, Sandbox};
use super::cgroup::Cgroup;
use super::figures::{Budget, Figures};
use super::networks::{EXACT, Topology};
use crate::runtime::{CallOutcome, Pod, Runtime};

/// What a node has for its pods' starts.
pub const MEMORY_BYTES: u64 = 512 << 20;
/// How often a runtime tries again when it is told to.
const MOST_TRIES: usize = 6;
const TRY_AGAIN: u64 = 11;
/// The other ADD of the same sandbox was first.
const ATTACHED_ALREADY: u64 = 102;

/// Starts and deletes so many pods at once in a cgroup of [`MEMORY_BYTES`].
pub fn boot_storm(executable: &Path, pods: usize) -> Figures {
    on_a_bed(executable, Topology::Bridges, |bed, figures| {
        let sandboxes: Vec<Sandbox> =
            (0..pods).map(|_| bed.sandbox().map(without_ports)).collect::<anyhow::Result<_>>()?;
        let all: Vec<&Sandbox> = sandboxes.iter().collect();
        let rest = bed.glance(&all)?;
        let cgroup = Cgroup::new(MEMORY_BYTES)?;
        let mut runtime = bed.runtime()?;
        runtime.executable = inside(bed, &cgroup, executable)?;
        let added = each_at_once(&all, |one| with_patience(|| runtime.add(&one.pod)))?;
        judge("ADD", &added, figures);
        let leases = leases(bed, "storage");
        if leases.len() != pods {
            figures.bad.push(format!("{pods} pods have {} addresses", leases.len()));
        }
        let deleted = each_at_once(&all, |one| with_patience(|| runtime.del(&one.pod)))?;
        judge("DEL", &deleted, figures);
        let killed = cgroup.killed()?;
        if killed > 0 {
            figures.bad.push(format!("the kernel killed {killed} processes for memory"));
        }
        let most = cgroup.most()? >> 20;
        figures
            .measured
            .insert(format!("{pods} at once, memory"), format!("{most} MiB of {}", MEMORY_BYTES >> 20));
        figures.measured.insert(format!("{pods} ADDs at once"), quantiles(&added));
        figures.measured.insert(format!("{pods} DELs at once"), quantiles(&deleted));
        figures.bad.extend(bed.differs(&all, &rest)?);
        Ok(())
    })
}

/// The node reboots with so many pods on it: the first ADD that is answered finds all addresses back.
pub fn reboot(executable: &Path, pods: usize, budget: Budget) -> Figures {
    on_a_bed(executable, Topology::Bridges, |bed, figures| {
        let mut slowest = Duration::ZERO;
        let mut rounds = 0;
        while !budget.is_spent(rounds) && figures.bad.len() < 5 {
            let sandboxes: Vec<Sandbox> =
                (0..pods).map(|_| bed.sandbox().map(without_ports)).collect::<anyhow::Result<_>>()?;
            let runtime = bed.runtime()?;
            judge(
                "ADD",
                &each_at_once(&sandboxes.iter().collect::<Vec<_>>(), |one| {
                    with_patience(|| runtime.add(&one.pod))
                })?,
                figures,
            );
            drop((runtime, sandboxes));
            bed.boot(&format!("boot-of-round-{rounds}"))?;
            let first = without_ports(bed.sandbox()?);
            let begin = Instant::now();
            let answered = with_patience(|| bed.runtime()?.add(&first.pod))?;
            slowest = slowest.max(begin.elapsed());
            judge("first ADD of a boot", std::slice::from_ref(&answered), figures);
            for network in ["cluster-wide-network", "storage", "wire"] {
                let given = leases(bed, network).len();
                let own = if network == "cluster-wide-network" { 2 } else { 1 };
                if given != own {
                    figures.bad.push(format!(
                        "round {rounds}: after the first ADD `{network}` has {given} addresses given"
                    ));
                }
            }
            bed.runtime()?.del(&first.pod)?;
            rounds += 1;
            figures.count("reboots of a full node");
        }
        figures.measured.insert(
            format!("first ADD after a reboot with {pods} pods, the slowest"),
            format!("{:.1} s", slowest.as_secs_f64()),
        );
        Ok(())
    })
}

/// As many pods as a range has addresses, all at once, again and again.
pub fn exact_range(executable: &Path, budget: Budget) -> Figures {
    on_a_bed(executable, Topology::Plain, |bed, figures| {
        let ask = |sandbox: anyhow::Result<Sandbox>| sandbox.map(|one| one.asking("exact"));
        let sandboxes: Vec<Sandbox> =
            (0..EXACT).map(|_| ask(bed.sandbox())).collect::<anyhow::Result<_>>()?;
        let all: Vec<&Sandbox> = sandboxes.iter().collect();
        let one_more = ask(bed.sandbox())?;
        let runtime = bed.runtime()?;
        let mut rounds = 0;
        let mut rest = None;
        while !budget.is_spent(rounds) && figures.bad.len() < 5 {
            let added = each_at_once(&all, |one| with_patience(|| runtime.add(&one.pod)))?;
            judge("ADD", &added, figures);
            let given = leases(bed, "exact").len();
            if given != EXACT {
                figures.bad.push(format!("round {rounds}: {EXACT} pods have {given} addresses"));
            }
            let refused = runtime.add(&one_more.pod)?;
            if refused.succeeded() {
                figures.bad.push(format!("round {rounds}: an address more than the range has: {refused}"));
            }
            runtime.del(&one_more.pod)?;
            let deleted = each_at_once(&all, |one| with_patience(|| runtime.del(&one.pod)))?;
            judge("DEL", &deleted, figures);
            match &rest {
                // Bridges stay when the last pod goes.
                None => rest = Some(bed.glance(&all)?),
                Some(rest) => figures.bad.extend(bed.differs(&all, rest)?),
            }
            rounds += 1;
            figures.count("rounds of a range without an address to spare");
        }
        Ok(())
    })
}

/// Two ADDs and two DELs of one sandbox at the same time.
pub fn duel(executable: &Path, budget: Budget) -> Figures {
    on_a_bed(executable, Topology::Bridges, |bed, figures| {
        let sandbox = without_ports(bed.sandbox()?);
        let rest = bed.glance(&[&sandbox])?;
        let runtime = bed.runtime()?;
        let mut rounds = 0;
        while !budget.is_spent(rounds) && figures.bad.len() < 5 {
            for (verb, outcome) in duel_once(&runtime, &sandbox.pod)? {
                if !is_fair(verb, &outcome) {
                    figures.bad.push(format!("round {rounds}: {verb}: {outcome}"));
                }
            }
            let links = bed.links_of(&sandbox)?;
            let has_entry = bed.state().join(&sandbox.pod.container_id).exists();
            if !(links == 0 && !has_entry || links == 3 && has_entry) {
                figures
                    .bad
                    .push(format!("round {rounds}: half a pod: {links} interfaces, entry: {has_entry}"));
            }
            rounds += 1;
            figures.count("rounds of two ADDs and two DELs of one sandbox");
        }
        runtime.del(&sandbox.pod)?;
        figures.bad.extend(bed.differs(&[&sandbox], &rest)?);
        Ok(())
    })
}

fn duel_once(runtime: &Runtime<'_>, pod: &Pod) -> anyhow::Result<Vec<(&'static str, CallOutcome)>> {
    thread::scope(|scope| {
        let calls: Vec<_> = ["ADD", "DEL", "ADD", "DEL"]
            .into_iter()
            .map(|verb| {
                let call = move || if verb == "ADD" { runtime.add(pod) } else { runtime.del(pod) };
                (verb, scope.spawn(call))
            })
            .collect();
        calls
            .into_iter()
            .map(|(verb, call)| {
                Ok((verb, call.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?))
            })
            .collect()
    })
}

fn is_fair(verb: &str, outcome: &CallOutcome) -> bool {
    let gave_way = outcome.error_code().is_some_and(|code| [TRY_AGAIN, ATTACHED_ALREADY].contains(&code));
    outcome.succeeded() || (verb == "ADD" && gave_way)
}

fn on_a_bed(
    executable: &Path,
    topology: Topology,
    act: impl FnOnce(&mut Bed, &mut Figures) -> anyhow::Result<()> + Send,
) -> Figures {
    let begin = Instant::now();
    let run = || {
        let mut figures = Figures::default();
        let acted = Bed::on_this_thread(executable, topology).and_then(|mut bed| {
            let first = without_ports(bed.sandbox()?);
            bed.warm(&first)?;
            act(&mut bed, &mut figures)
        });
        if let Err(error) = acted {
            figures.bad.push(format!("the bed failed: {error:#}"));
        }
        figures
    };
    let mut figures = thread::scope(|scope| {
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    figures.took = begin.elapsed();
    figures
}

/// Two pods cannot have one port of the host.
fn without_ports(mut sandbox: Sandbox) -> Sandbox {
    sandbox.pod.capability_args.remove("portMappings");
    sandbox
}

/// A runtime tries again when it is told that others are before it.
fn with_patience(call: impl Fn() -> anyhow::Result<CallOutcome>) -> anyhow::Result<CallOutcome> {
    for _ in 1..MOST_TRIES {
        let outcome = call()?;
        if outcome.error_code() != Some(TRY_AGAIN) {
            return Ok(outcome);
        }
    }
    call()
}

fn each_at_once(
    all: &[&Sandbox],
    call: impl Fn(&Sandbox) -> anyhow::Result<CallOutcome> + Sync,
) -> anyhow::Result<Vec<CallOutcome>> {
    let call = &call;
    thread::scope(|scope| {
        let calls: Vec<_> = all.iter().map(|one| scope.spawn(move || call(one))).collect();
        calls
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn judge(verb: &str, outcomes: &[CallOutcome], figures: &mut Figures) {
    for outcome in outcomes {
        figures.count(&format!("{verb}s at once"));
        if !outcome.succeeded() {
            figures.bad.push(format!("{verb}: {outcome}"));
        }
    }
}

/// `p50 1.2 s, p99 3.4 s`
fn quantiles(outcomes: &[CallOutcome]) -> String {
    let mut walls: Vec<Duration> = outcomes.iter().map(|outcome| outcome.wall).collect();
    walls.sort();
    let at = |percent: usize| {
        walls.get(walls.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    };
    format!("p50 {:.1} s, p99 {:.1} s", at(50).as_secs_f64(), at(99).as_secs_f64())
}

/// The addresses that a network has given.
fn leases(bed: &Bed, network: &str) -> BTreeSet<String> {
    let found = fs::read_dir(bed.folder("lib/cni/networks").join(network)).into_iter().flatten().flatten();
    let names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "lock" && !name.starts_with("last_reserved_ip")).collect()
}

/// The executable as a process of the cgroup.
fn inside(bed: &Bed, cgroup: &Cgroup, executable: &Path) -> anyhow::Result<PathBuf> {
    let path = bed.folder("in-cgroup");
    let script =
        format!("#!/bin/sh\necho $$ > {}\nexec {}\n", cgroup.procs().display(), executable.display());
    let draft = bed.folder("in-cgroup.draft");
    fs::write(&draft, script).context("cannot write a script")?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))
        .context("cannot make a script executable")?;
    // By another process: had this one the file open for writing while a thread forks, nobody could execute it.
    let copied = std::process::Command::new("cp")
        .arg("-p")
        .arg(&draft)
        .arg(&path)
        .status()
        .context("cannot run `cp`")?;
    anyhow::ensure!(copied.success(), "cannot copy a script");
    Ok(path)
}
