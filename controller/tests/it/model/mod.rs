//! Random histories of pods, definitions and replicas, and what has to hold when they have come to rest.
//!
//! Waves of histories, each in a namespace of its own, run beside each other while the replicas are killed, stopped and
//! put to sleep. The seed is printed; `MANIFOLD_MODEL_SEED` repeats a run, as far as the machine's timing does, and
//! `MANIFOLD_MODEL_WAVES=20` runs so many waves.

mod chaos;
mod history;
mod random;

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use manifold_e2e::api_client::Session;
use manifold_e2e::api_server::{self, ApiServer};
use manifold_e2e::controller::{Controllers, Options};
use serde_json::json;

use crate::stored::{Seen, definitions, pods, seen};
use random::Random;

const WAVES: u64 = 2;
const HISTORIES: u64 = 52;
const STEPS: u64 = 24;
/// Histories at the same time, each by two hands.
const AT_ONCE: u64 = 8;
/// For everything to come to rest. What is stuck stays so for ever; what is slow, on a machine that answers each request
/// after seconds, may lose the Lease and start anew on the way.
const PATIENCE: Duration = Duration::from_secs(240);
/// Longer than a bed's: on a busy machine a request takes seconds, and a leader that loses its Lease at each of them never
/// comes to its end.
const LEASE_SECONDS: u64 = 6;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    variable("MANIFOLD_MODEL_SEED").unwrap_or_else(clock)
}

fn waves() -> u64 {
    variable("MANIFOLD_MODEL_WAVES").unwrap_or(WAVES)
}

// Proves: F-CTL-3
#[test]
fn histories_of_pods_definitions_and_replicas_leave_no_finalizer_lost_or_stuck_and_counts_right() {
    let seed = seed();
    let _ = writeln!(std::io::stderr(), "MANIFOLD_MODEL_SEED={seed}");
    let server = api_server::Options { controller_manager: true, ..api_server::Options::default() };
    let api = ApiServer::start_with(server).unwrap();
    let config = json!({"lease": {"durationSeconds": LEASE_SECONDS}});
    let bed = Controllers::start(&api, &Options { replicas: 2, config, ..Options::default() }).unwrap();
    let mut strokes = 0;
    for wave in 0..waves() {
        strokes += run_wave(&bed, seed, wave).with_context(|| format!("seed {seed}, wave {wave}")).unwrap();
    }
    all_are_gone(&bed).with_context(|| format!("seed {seed}")).unwrap();
    assert!(strokes > waves(), "the replicas were left in peace ({strokes})");
}

fn run_wave(bed: &Controllers<'_>, seed: u64, wave: u64) -> anyhow::Result<u64> {
    let namespaces = namespaces(wave);
    let (peace, over) = mpsc::channel::<()>();
    let mut random = Random::new(seed, wave << 32);
    let strokes = thread::scope(|scope| {
        let chaos = scope.spawn(move || chaos::reign(bed, &mut random, &over));
        let live = live_through(bed.api(), &namespaces, seed, wave);
        drop(peace);
        let strokes = chaos.join().expect("chaos does not panic")?;
        live.map(|()| strokes)
    })?;
    let mut session = bed.api().client().session();
    at_rest(bed, &mut session, &namespaces, "after the histories")?;
    bed.wait_ready()?;
    used_definitions_stay(&mut session, &namespaces)?;
    at_rest(bed, &mut session, &namespaces, "after used definitions were deleted")?;
    // Half of them give their networks back first, the others are deleted as they are.
    let (emptied, _) = namespaces.split_at(namespaces.len() / 2);
    for namespace in emptied {
        session.delete(&format!("{}?gracePeriodSeconds=0", pods(namespace)))?;
    }
    at_rest(bed, &mut session, emptied, "after the last pod")?;
    // They go while the next wave runs and its replicas are killed.
    for namespace in &namespaces {
        session.write("DELETE", &format!("/api/v1/namespaces/{namespace}"), &json!({}))?;
    }
    Ok(strokes)
}

/// Some histories at a time, each by two hands.
fn live_through(api: &ApiServer, namespaces: &[String], seed: u64, wave: u64) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let hands: Vec<_> = (0..AT_ONCE)
            .map(|lane| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut mine = (0..).zip(namespaces).filter(|(n, _)| n % AT_ONCE == lane);
                    mine.try_for_each(|(n, namespace)| live(api, namespace, seed, wave * HISTORIES + n))
                })
            })
            .collect();
        hands.into_iter().try_for_each(|hand| hand.join().expect("a history does not panic"))
    })
}

fn live(api: &ApiServer, namespace: &str, seed: u64, number: u64) -> anyhow::Result<()> {
    api.ensure_namespace(namespace)?;
    let random = |stream| Random::new(seed, 1 + number * 2 + stream);
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            history::of_definitions(&mut api.client().session(), namespace, &mut random(0), STEPS)
        });
        history::of_pods(&mut api.client().session(), namespace, &mut random(1), STEPS)?;
        other.join().expect("a history does not panic")
    })
}

/// Waits until every definition of these namespaces says what its pods say.
fn at_rest(
    bed: &Controllers<'_>,
    session: &mut Session,
    namespaces: &[String],
    when: &str,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for namespace in namespaces {
        loop {
            let all = seen(session, namespace)?;
            let wrong: Vec<String> = all.iter().filter_map(Seen::wrong).collect();
            if wrong.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                let words: Vec<String> = bed.replicas().iter().map(|r| r.last_words()).collect();
                anyhow::bail!(
                    "{when}, in `{namespace}`: {wrong:?}, of {all:?}; the replicas say:\n{}",
                    words.join("\n---\n")
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Whether the webhook refuses or the finalizer holds: what is used is there afterwards.
fn used_definitions_stay(session: &mut Session, namespaces: &[String]) -> anyhow::Result<()> {
    for namespace in namespaces {
        let used = seen(session, namespace)?.into_iter().filter(|s| !s.users.is_empty());
        for Seen { name, users, .. } in used {
            let path = format!("{}/{name}", definitions(namespace));
            let answer = session.delete(&path)?;
            let is_there = session.get(&path)?.ok();
            anyhow::ensure!(is_there, "`{path}` went under {users:?}, by an answer {}", answer.status);
        }
    }
    Ok(())
}

/// Every namespace that any wave had can be deleted, and is.
fn all_are_gone(bed: &Controllers<'_>) -> anyhow::Result<()> {
    let mut session = bed.api().client().session();
    for namespace in (0..waves()).flat_map(namespaces) {
        let path = format!("/api/v1/namespaces/{namespace}");
        bed.wait(&format!("the end of `{namespace}`"), || Ok(session.get(&path)?.status == 404))
            .with_context(|| left(bed, &namespace))?;
    }
    Ok(())
}

fn namespaces(wave: u64) -> Vec<String> {
    (0..HISTORIES).map(|n| format!("wave{wave}-history{n}")).collect()
}

fn left(bed: &Controllers<'_>, namespace: &str) -> String {
    let left = seen(&mut bed.api().client().session(), namespace);
    format!("what is left in `{namespace}`: {left:?}")
}
