//! The model: nodes, an API server, two leaders and everything that goes wrong, in virtual time, driven through the
//! functions of the crate. Each history comes from a seed.
//!
//! `MANIFOLD_MODEL_SEED=7` repeats one history; `MANIFOLD_MODEL_HISTORIES=5000` runs so many instead of 500, each of 2,000 steps.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test in files of its own"
)]

mod add;
mod api;
mod bug;
mod calm;
mod history;
mod leader;
mod node;
mod oracle;
mod pod;
mod rng;
mod session;
mod world;

use bug::{Bug, LIVENESS, SAFETY};
use world::{Tally, World};

const HISTORIES: u64 = 500;
const STEPS: u64 = 2000;
/// Histories that found a fault of the crate once: an old disk that comes back after its folder was told lost.
const FOUND_BEFORE: [u64; 2] = [3687, 3830];
/// How many histories may pass before a planted fault counts as missed.
const SEARCHED_HISTORIES: u64 = 400;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a history: the turmoil, and then the calm in which everything must be given.
fn run(seed: u64, bug: Option<Bug>) -> Result<Tally, String> {
    let mut world = World::new(seed, bug);
    world.turmoil(STEPS)?;
    world.calm()?;
    Ok(world.tally)
}

/// What each seed below `end` comes to, on as many threads as there are processors.
fn run_all(end: u64) -> Vec<(u64, Result<Tally, String>)> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        let one = |first| {
            move || (first..end).step_by(threads as usize).map(|seed| (seed, run(seed, None))).collect()
        };
        let all: Vec<_> = (0..threads).map(|first| scope.spawn(one(first))).collect();
        all.into_iter()
            .flat_map(|thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| thread.join().unwrap())
            .collect()
    })
}

// Shows part of: IPAM-37, IPAM-44, IPAM-58, IPAM-59, IPAM-61, IPAM-64, IPAM-66, IPAM-68, IPAM-70
#[test]
fn no_address_has_two_living_holders_and_every_free_one_can_be_given() {
    if let Some(seed) = variable("MANIFOLD_MODEL_SEED") {
        let tally = run(seed, None).unwrap_or_else(|found| panic!("MANIFOLD_MODEL_SEED={seed}: {found}"));
        eprintln!("{tally:?}");
        return;
    }
    let histories = variable("MANIFOLD_MODEL_HISTORIES").unwrap_or(HISTORIES);
    let (mut all, mut bad) = (Tally::default(), Vec::new());
    let before = FOUND_BEFORE.iter().map(|seed| (*seed, run(*seed, None)));
    for (seed, found) in run_all(histories).into_iter().chain(before) {
        match found {
            Ok(tally) => all.add(&tally),
            Err(found) => bad.push(format!("MANIFOLD_MODEL_SEED={seed}: {found}")),
        }
    }
    assert!(bad.is_empty(), "{} of {histories} histories: {:#?}", bad.len(), &bad[..bad.len().min(10)]);
    eprintln!("{all:?}");
    // A model in which nothing happens proves nothing.
    let common = [all.started, all.failed, all.killed, all.released, all.reboots, all.wipes, all.nodes_lost];
    assert!(common.iter().all(|n| *n >= histories) && all.restores * 10 >= histories, "{all:?}");
    assert_eq!(all.filled, histories + FOUND_BEFORE.len() as u64);
}

/// The first history that finds it. The longest search of them needs a few dozen.
fn find(bug: Bug, run: impl Fn(u64) -> Result<(), String>) -> Result<(), Bug> {
    let found = (0..SEARCHED_HISTORIES).find(|seed| run(*seed).is_err());
    eprintln!("{bug:?}: found by history {found:?}");
    found.map(|_| ()).ok_or(bug)
}

#[test]
fn every_planted_fault_of_safety_is_found() {
    let two_holders = |bug| find(bug, |seed| World::new(seed, Some(bug)).turmoil(STEPS));
    let missed: Vec<Bug> = SAFETY.iter().filter_map(|bug| two_holders(*bug).err()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_planted_fault_of_liveness_is_found() {
    let not_given = |bug| {
        find(bug, |seed| match run(seed, Some(bug)) {
            Err(found) if found.starts_with("free and not given") => Err(found),
            _ => Ok(()),
        })
    };
    let missed: Vec<Bug> = LIVENESS.iter().filter_map(|bug| not_given(*bug).err()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
