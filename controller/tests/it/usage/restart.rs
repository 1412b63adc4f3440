//! A leader that comes late, or comes back, finds what others left and makes it true.

use std::time::{Duration, Instant};

use manifold_crds::keys::NETWORKS;
use manifold_crds::nad_status::IN_USE_FINALIZER;
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use serde_json::json;

use super::bed::{Leader, MACVLAN, Options, path, until, until_definition};

fn lie(home: &TestNamespace<'_>, name: &str) {
    let (api, path) = (home.api(), path(home.name(), name));
    let condition = json!({"type": "InUse", "status": "True", "reason": "UsedByPods", "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00Z"});
    let status = json!({"status": {"pods": 7, "podNames": ["nobody/here"], "conditions": [condition]}});
    api.client().send("PATCH", &format!("{path}/status"), &status).unwrap();
    api.client().send("PATCH", &path, &json!({"metadata": {"finalizers": [IN_USE_FINALIZER]}})).unwrap();
}

#[test]
fn stale_statuses_and_stuck_finalizers_are_put_right() {
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("stale").unwrap();
    for name in ["unused", "deleted", "used"] {
        home.definition(name, MACVLAN).unwrap();
    }
    home.pod("p", &[(NETWORKS, "used")]).unwrap();
    lie(&home, "unused");
    lie(&home, "deleted");
    home.delete_definition("deleted").unwrap();
    let p = format!("{}/p", home.name());
    let leader = Leader::start(api, Options::default());
    until_definition(api, home.name(), "unused", |nad| nad.is_some_and(|n| n.has_users(&[])));
    until_definition(api, home.name(), "deleted", |nad| nad.is_none());
    until_definition(api, home.name(), "used", |nad| nad.is_some_and(|n| n.has_users(&[&p])));
    drop(leader);
    // What happens while nobody leads.
    home.delete_pod("p").unwrap();
    home.pod("q", &[(NETWORKS, "unused")]).unwrap();
    home.delete_definition("used").unwrap();
    let q = format!("{}/q", home.name());
    let leader = Leader::start(api, Options::default());
    until_definition(api, home.name(), "used", |nad| nad.is_none());
    until_definition(api, home.name(), "unused", |nad| nad.is_some_and(|n| n.has_users(&[&q])));
    drop(leader);
}

// Proves: F-CTL-3
#[test]
fn a_leader_that_is_gone_after_any_write_leaves_nothing_that_the_next_cannot_finish() {
    let api = &ApiServer::start().unwrap();
    for after in 0..10 {
        let home = api.namespace("killed").unwrap();
        for n in 0..4 {
            home.definition(&format!("n{n}"), MACVLAN).unwrap();
            home.pod(&format!("p{n}"), &[(NETWORKS, &format!("n{n}"))]).unwrap();
        }
        home.definition("gone", MACVLAN).unwrap();
        lie(&home, "gone");
        home.delete_definition("gone").unwrap();
        let first = Leader::start(api, Options::default());
        until("it has written so much", || first.writes() >= f64::from(after));
        first.lose_term();
        until("it ends with its term", || first.has_ended());
        let _second = Leader::start(api, Options::default());
        for n in 0..4 {
            let pod = format!("{}/p{n}", home.name());
            until_definition(api, home.name(), &format!("n{n}"), |nad| {
                nad.is_some_and(|nad| nad.has_users(&[&pod]))
            });
        }
        until_definition(api, home.name(), "gone", |nad| nad.is_none());
    }
}

#[test]
fn without_a_term_nothing_is_written() {
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("over").unwrap();
    home.definition("a", MACVLAN).unwrap();
    home.pod("p", &[(NETWORKS, "a")]).unwrap();
    let before = api.request_counts().unwrap();
    // The Lease ran out while the process slept, and nobody told it yet.
    let leader = Leader::start_until(api, Options::default(), Instant::now() - Duration::from_secs(1));
    until("it ends by itself", || leader.has_ended());
    let since = api.request_counts().unwrap().since(&before);
    assert!(since.of("LIST", "network-attachment-definitions") > 0, "it looked: {since:?}");
    let writes: u64 = since
        .by_verb
        .iter()
        .filter(|((verb, _), _)| verb == "PATCH" || verb == "APPLY")
        .map(|(_, n)| n)
        .sum();
    assert_eq!(writes, 0, "{since:?}");
}
