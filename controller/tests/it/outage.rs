//! The controller is away, or one replica after another is taken from under its writes; and how it ends when asked to.

use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_client::Session;
use manifold_e2e::api_server::{self, ApiServer};
use manifold_e2e::audit::Audit;
use manifold_e2e::controller::{Controllers, Options, Replica, USER};
use serde_json::Value;

use crate::stored::{NETWORKS, Seen, definition, definitions, pod, pods, seen};

/// How many times the leader is killed under churn.
const KILLS: usize = 10;
/// Of a process that was asked to stop.
const GRACE: Duration = Duration::from_secs(5);

fn post(session: &mut Session, path: &str, object: &Value) {
    let answer = session.write("POST", path, object).unwrap();
    assert!(answer.ok(), "{path}: {}", answer.text());
}

fn wait_at_rest(bed: &Controllers<'_>, namespace: &str) {
    let mut session = bed.api().client().session();
    bed.wait(&format!("rest in `{namespace}`"), || {
        let wrong: Vec<String> = seen(&mut session, namespace)?.iter().filter_map(Seen::wrong).collect();
        anyhow::ensure!(wrong.is_empty(), "{wrong:?}");
        Ok(true)
    })
    .unwrap();
}

// Proves: F-CTL-2
#[test]
fn while_the_cluster_role_is_away_pods_come_and_go_and_a_deleted_definition_waits_with_its_finalizer() {
    let api = ApiServer::start().unwrap();
    let bed = Controllers::start(&api, &Options { replicas: 2, ..Options::default() }).unwrap();
    api.ensure_namespace("away").unwrap();
    let (all, networks) = (pods("away"), definitions("away"));
    let mut session = api.client().session();
    for name in ["used", "unused"] {
        post(&mut session, &networks, &definition(name, 1500));
    }
    post(&mut session, &all, &pod("first", "used", Some("node")));
    wait_at_rest(&bed, "away");

    bed.replicas().iter().for_each(|replica| replica.kill());
    // Pods start and stop, also those that ask for networks, although nobody answers for the webhook.
    let begin = Instant::now();
    post(&mut session, &all, &pod("second", "used,unused", Some("node")));
    post(&mut session, &all, &pod("plain", "", Some("node")));
    // The API server could be told to wait for a webhook for 30 s.
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    assert!(session.delete(&format!("{all}/first?gracePeriodSeconds=0")).unwrap().ok());
    // Accepted, and kept: `second` uses it.
    assert!(session.delete(&format!("{networks}/used")).unwrap().ok());
    let used = seen(&mut session, "away").unwrap().into_iter().find(|s| s.name == "used").unwrap();
    assert!(used.has_finalizer() && used.is_terminating(), "{used:?}");

    bed.replicas().iter().try_for_each(|replica| replica.start()).unwrap();
    bed.wait_ready().unwrap();
    wait_at_rest(&bed, "away");
    let used = seen(&mut session, "away").unwrap().into_iter().find(|s| s.name == "used").unwrap();
    assert_eq!(used.users, ["away/second"]);
    assert!(session.delete(&format!("{all}/second?gracePeriodSeconds=0")).unwrap().ok());
    let path = format!("{networks}/used");
    bed.wait("the end of the definition", || Ok(session.get(&path)?.status == 404)).unwrap();
    wait_at_rest(&bed, "away");
}

// Proves: F-CTL-3
#[test]
fn leaders_killed_at_any_moment_under_churn_leave_what_a_fresh_start_would_and_nothing_is_denied() {
    let audit = Audit::of(USER).unwrap();
    let server = api_server::Options { flags: audit.flags(), ..api_server::Options::default() };
    let api = ApiServer::start_with(server).unwrap();
    let bed = Controllers::start(&api, &Options { replicas: 2, ..Options::default() }).unwrap();
    api.ensure_namespace("churn").unwrap();
    let mut session = api.client().session();
    for number in 0..6 {
        post(&mut session, &definitions("churn"), &definition(&format!("n{number}"), 1500));
    }
    thread::scope(|scope| {
        let (peace, over) = std::sync::mpsc::channel::<()>();
        let api = &api;
        scope.spawn(move || churn(api, &over));
        for kill in 0..KILLS {
            let leader = bed.wait_for_leader().unwrap();
            // Into the middle of what a new leader writes, a little later each time.
            thread::sleep(Duration::from_millis(37 * kill as u64));
            leader.kill();
            leader.start().unwrap();
        }
        drop(peace);
    });
    bed.wait_ready().unwrap();
    wait_at_rest(&bed, "churn");
    let entries = audit.entries().unwrap();
    assert!(entries.iter().any(|e| e.resource.ends_with("definitions/status")));
    let denied: Vec<_> = entries.iter().filter(|e| [401, 403].contains(&e.code)).collect();
    assert!(denied.is_empty(), "{denied:?}");
    // What was not denied was held against every policy. Each of those that were killed may have come to tell it or not.
    let path = format!("{}/cluster-wide-network", definitions("manifold-system"));
    bed.wait("that every policy is in place", || {
        let default = session.get(&path)?.json()?;
        let mut conditions =
            default.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let in_place = conditions.find(|c| c["type"] == "PoliciesInPlace").cloned().unwrap_or_default();
        anyhow::ensure!(in_place["status"] == "True", "{in_place}");
        Ok(true)
    })
    .unwrap();
}

/// Pods come and go on every definition until the other end of the channel is dropped.
fn churn(api: &ApiServer, over: &std::sync::mpsc::Receiver<()>) {
    let mut session = api.client().session();
    let pause = Duration::from_millis(20);
    for turn in 0_u64.. {
        let name = format!("p{}", turn % 24);
        let path = format!("{}/{name}?gracePeriodSeconds=0", pods("churn"));
        let networks = format!("n{},n{}", turn % 6, turn / 6 % 6);
        let written = session
            .delete(&path)
            .and_then(|_| session.write("POST", &pods("churn"), &pod(&name, &networks, None)));
        // Nobody reads more of it here: what the API server refuses is not stored, and is not counted.
        drop(written);
        if over.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// In time, and without its Lease.
fn stop_the_leader<'a>(bed: &'a Controllers<'_>) -> &'a Replica {
    let mut told = Vec::new();
    while told.len() < 3 {
        let leader = bed.wait_for_leader().unwrap();
        let (status, took) = leader.stop().unwrap();
        assert!(status.success(), "{status}: {}", leader.last_words());
        let is_given_back = bed.holder().unwrap().is_none_or(|holder| !holder.contains(leader.identity()));
        if took < GRACE && is_given_back {
            return leader;
        }
        // A machine that stands still may not leave the second that giving it back may take.
        told.push(format!("`{}` ended after {took:?}: {}", leader.identity(), leader.last_words()));
        bed.take_the_lease_away().unwrap();
        leader.start().unwrap();
        leader.wait_ready().unwrap();
    }
    panic!("no leader ended well in time: {told:#?}");
}

#[test]
fn asked_to_stop_it_ends_well_in_time_gives_the_lease_back_and_the_other_replica_goes_on() {
    let api = ApiServer::start().unwrap();
    // A Lease that nobody would wait for: it has to be given back.
    let config = serde_json::json!({"lease": {"durationSeconds": 600, "retrySeconds": 1}});
    let bed = Controllers::start(&api, &Options { replicas: 2, config, ..Options::default() }).unwrap();
    let first = stop_the_leader(&bed);
    let second = bed.wait_for_leader().unwrap();
    assert_ne!(first.identity(), second.identity());
    api.ensure_namespace("after").unwrap();
    let mut session = api.client().session();
    post(&mut session, &definitions("after"), &definition("n0", 1500));
    post(&mut session, &pods("after"), &pod("p0", "n0", None));
    wait_at_rest(&bed, "after");
    let annotation = format!("{}/p0", pods("after"));
    let stored = session.get(&annotation).unwrap().json().unwrap();
    assert_eq!(stored["metadata"]["annotations"][NETWORKS], "n0");
}
