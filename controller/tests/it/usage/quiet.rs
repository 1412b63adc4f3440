//! Nothing is written when nothing changes.

use std::thread;
use std::time::{Duration, Instant};

use manifold_controller::usage::{Limits, Pace};
use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::ApiServer;

use super::bed::{CHAIN, Leader, MACVLAN, Options, annotate, until, until_definition};

// Proves: F-CTL-3
#[test]
fn nothing_is_written_when_nothing_changes() {
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("quiet").unwrap();
    home.definition("a", MACVLAN).unwrap();
    home.definition("b", CHAIN).unwrap();
    home.definition("wrong", "{").unwrap();
    home.pod("p", &[(NETWORKS, "a")]).unwrap();
    let leader = Leader::start(api, Options::default());
    let p = format!("{}/p", home.name());
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.has_users(&[&p])));
    for name in ["b", "wrong"] {
        until_definition(api, home.name(), name, |nad| {
            nad.is_some_and(|n| n.condition("InUse").0 == "False")
        });
    }
    until("its own writes have come back", || leader.writes() >= 4.0);
    let writes = |counts: &manifold_e2e::api_server::RequestCounts| -> u64 {
        let of = |(verb, resource): &(String, String)| {
            verb != "LIST" && verb != "GET" && verb != "WATCH" && resource.starts_with("network")
        };
        counts.by_verb.iter().filter(|(key, _)| of(key)).map(|(_, n)| n).sum()
    };
    let before = (api.request_counts().unwrap(), leader.writes());
    // Changes that mean nothing to it, a new leader, and time.
    for n in 0..20 {
        annotate(api, home.name(), "p", "example.com/heartbeat", &n.to_string());
        thread::sleep(Duration::from_millis(100));
    }
    drop(leader);
    let again = Leader::start(api, Options::default());
    until("the new leader has looked", || again.metric("manifold_usage_pods", "") >= 1.0);
    thread::sleep(Duration::from_secs(2));
    let since = api.request_counts().unwrap().since(&before.0);
    assert_eq!(writes(&since), 0, "{since:?}");
    assert_eq!(again.writes(), 0.0);
}

// Shows part of: P-PERF-2
#[test]
fn the_default_network_of_many_pods_is_not_written_as_often_as_they_change() {
    const PODS: usize = 400;
    const NAME: &str = "cluster-wide-network";
    const EACH: Duration = Duration::from_millis(100);
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("many").unwrap();
    home.definition(NAME, MACVLAN).unwrap();
    (0..PODS).for_each(|n| drop(home.pod(&format!("p{n}"), &[]).unwrap()));
    let writes = Limits { each: EACH, ..Limits::default() };
    let config = format!("namespace: {}", home.name());
    let pace = Pace { writes, ..Pace::default() };
    let leader = Leader::start(api, Options { pace, config, ..Options::default() });
    let has = |pods: usize| {
        until_definition(api, home.name(), NAME, |nad| nad.is_some_and(|n| n.status.pods == pods as u64));
    };
    has(PODS);
    let (before, begin, mut made) = (leader.writes(), Instant::now(), 0);
    while begin.elapsed() < 50 * EACH {
        home.pod(&format!("more{made}"), &[]).unwrap();
        made += 1;
        thread::sleep(EACH / 4);
    }
    let (writes, pauses) = (leader.writes() - before, begin.elapsed().as_secs_f64() / EACH.as_secs_f64());
    assert!(writes <= pauses / 5.0 + 2.0, "{writes} writes in {pauses} pauses, of {made} changes");
    has(PODS + made);
}
