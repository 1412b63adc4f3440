//! How many pods use a network, which, and what people see of it.

use manifold_crds::keys::{DEFAULT_NETWORK, NETWORKS};
use manifold_e2e::api_server::ApiServer;
use serde_json::json;

use crate::shared;

use super::bed::{CHAIN, Leader, MACVLAN, Options, annotate, phase, until, until_definition};

// Proves: P-USE-5
#[test]
fn pods_are_counted_and_named_through_both_annotations() {
    // Its own server: leaders with another configuration would count otherwise.
    let api = &ApiServer::start().unwrap();
    let (home, other) = (api.namespace("count").unwrap(), api.namespace("count-other").unwrap());
    home.definition("a", MACVLAN).unwrap();
    home.definition("b", CHAIN).unwrap();
    home.definition("wrong", r#"{"cniVersion": "1.0.0", "name": "c", "type": "macvlan", "mode": "brigde"}"#)
        .unwrap();
    let _leader = Leader::start(
        api,
        Options { config: "networks: {namespaceIsolation: false}".into(), ..Options::default() },
    );
    let name = |pod: &str| format!("{}/{pod}", home.name());
    let foreign = format!("{}/p0", other.name());
    home.pod("p2", &[(NETWORKS, "a,b,a")]).unwrap();
    home.pod("p1", &[(DEFAULT_NETWORK, &format!("{}/a", home.name()))]).unwrap();
    home.pod("p3", &[(NETWORKS, "b@c@d")]).unwrap();
    other.pod("p0", &[(NETWORKS, &format!(r#"[{{"name": "a", "namespace": "{}"}}]"#, home.name()))]).unwrap();
    let mut users = [foreign, name("p1"), name("p2")];
    users.sort();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let p2 = name("p2");
    until_definition(api, home.name(), "a", |nad| {
        nad.is_some_and(|nad| nad.has_users(&users) && nad.status.kind.as_deref() == Some("macvlan"))
    });
    until_definition(api, home.name(), "b", |nad| {
        nad.is_some_and(|nad| nad.has_users(&[&p2]) && nad.status.kind.as_deref() == Some("bridge+tuning"))
    });
    until_definition(api, home.name(), "wrong", |nad| {
        nad.is_some_and(|nad| {
            let (status, reason, message) = nad.condition("Valid");
            (status, reason) == ("False", "ConfigurationInvalid")
                && message.contains("brigde")
                && nad.has_users(&[])
        })
    });
    assert_eq!(
        columns(api, home.name()),
        [
            ["a", "macvlan", "3", "True"],
            ["b", "bridge+tuning", "1", "True"],
            ["wrong", "macvlan", "0", "False"]
        ]
    );
    home.delete_pod("p2").unwrap();
    until_definition(api, home.name(), "b", |nad| nad.is_some_and(|nad| nad.has_users(&[])));
}

/// What `kubectl get` shows, without the age.
fn columns(api: &ApiServer, namespace: &str) -> Vec<Vec<String>> {
    let mut lines = String::new();
    // The server tells of short names a moment after it serves the resource.
    until("kubectl knows definitions", || {
        let said = api.kubectl(&["get", "net-attach-def", "-n", namespace, "--no-headers"], "").unwrap();
        lines = String::from_utf8(said.stdout).unwrap();
        said.status.success()
    });
    lines.lines().map(|line| line.split_whitespace().take(4).map(str::to_owned).collect()).collect()
}

#[test]
fn every_pod_is_in_the_default_network_until_it_has_ended() {
    // Its own server: the count is of all pods there are.
    let api = &ApiServer::start().unwrap();
    api.ensure_namespace("manifold-system").unwrap();
    api.definition("manifold-system", "cluster-wide-network", CHAIN).unwrap();
    let home = api.namespace("everyone").unwrap();
    let _leader = Leader::start(api, Options::default());
    let name = |pod: &str| format!("{}/{pod}", home.name());
    let has = |pods: &[&str]| {
        let names: Vec<String> = pods.iter().map(|pod| name(pod)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        until_definition(api, "manifold-system", "cluster-wide-network", |nad| {
            nad.is_some_and(|n| n.has_users(&names))
        });
    };
    has(&[]);
    (0..12).for_each(|n| drop(home.pod(&format!("p{n:02}"), &[]).unwrap()));
    let on_host = json!({"metadata": {"name": "on-host"}, "spec": {
        "nodeName": "test-node", "hostNetwork": true, "automountServiceAccountToken": false,
        "containers": [{"name": "main", "image": "none"}],
    }});
    api.client().send("POST", &format!("/api/v1/namespaces/{}/pods", home.name()), &on_host).unwrap();
    let all: Vec<String> = (0..12).map(|n| format!("p{n:02}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    has(&all);
    // The first ten are named anew when one of them goes.
    phase(api, home.name(), "p00", "Succeeded");
    phase(api, home.name(), "p01", "Failed");
    phase(api, home.name(), "p02", "Running");
    has(&all[2..]);
    home.delete_pod("p05").unwrap();
    has(&["p02", "p03", "p04", "p06", "p07", "p08", "p09", "p10", "p11"]);
}

#[test]
fn a_selection_that_changes_before_the_pod_is_bound_moves_the_use() {
    let (api, _turn) = shared::alone();
    let home = api.namespace("moves").unwrap();
    home.definition("a", MACVLAN).unwrap();
    home.definition("b", CHAIN).unwrap();
    let leader = Leader::start(api, Options::default());
    home.pod("p", &[(NETWORKS, "a")]).unwrap();
    let p = format!("{}/p", home.name());
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.has_users(&[&p])));
    annotate(api, home.name(), "p", NETWORKS, "b");
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.has_users(&[])));
    until_definition(api, home.name(), "b", |nad| nad.is_some_and(|n| n.has_users(&[&p])));
    until("the metrics tell it too", || {
        leader.metric("manifold_usage_definitions_in_use", "") >= 1.0
            && leader.metric("manifold_usage_lag_seconds_count", "") >= 2.0
    });
}
