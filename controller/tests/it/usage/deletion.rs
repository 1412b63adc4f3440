//! A network outlives its pods, and no longer.

use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::ApiServer;
use serde_json::Value;

use crate::shared;

use super::bed::{Leader, MACVLAN, Options, until, until_definition};

#[test]
fn a_deleted_network_stays_until_its_last_pod_has_gone() {
    let (api, _turn) = shared::alone();
    let home = api.namespace("outlives").unwrap();
    home.definition("a", MACVLAN).unwrap();
    let _leader = Leader::start(api, Options::default());
    home.pod("p1", &[(NETWORKS, "a")]).unwrap();
    home.pod("p2", &[(NETWORKS, "a")]).unwrap();
    let [p1, p2] = ["p1", "p2"].map(|pod| format!("{}/{pod}", home.name()));
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.has_users(&[&p1, &p2])));
    home.delete_definition("a").unwrap();
    until_definition(api, home.name(), "a", |nad| {
        nad.is_some_and(|n| {
            n.is_terminating && n.condition("InUse").1 == "KeptForPods" && n.has_users(&[&p1, &p2])
        })
    });
    home.delete_pod("p1").unwrap();
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.has_users(&[&p2])));
    home.delete_pod("p2").unwrap();
    until_definition(api, home.name(), "a", |nad| nad.is_none());
    let reasons = || events(api, home.name(), "a");
    until("both are told", || {
        let told = reasons();
        ["NetworkKept", "NetworkReleased"].iter().all(|r| told.iter().any(|t| t == r))
    });
}

/// The reasons of the events about one object.
pub(super) fn events(api: &ApiServer, namespace: &str, name: &str) -> Vec<String> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let list = api.client().get(&path).unwrap().json().unwrap();
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let about = |event: &&Value| event.pointer("/regarding/name").and_then(Value::as_str) == Some(name);
    items.iter().filter(about).filter_map(|e| Some(e.get("reason")?.as_str()?.to_owned())).collect()
}

#[test]
fn finalizers_of_others_are_left_alone() {
    let (api, _turn) = shared::alone();
    let home = api.namespace("finalizers").unwrap();
    home.definition("a", MACVLAN).unwrap();
    let path = super::bed::path(home.name(), "a");
    let finalizers = |list: &[&str]| {
        let patch = serde_json::json!({"metadata": {"finalizers": list}});
        api.client().send("PATCH", &path, &patch).unwrap();
    };
    finalizers(&["example.com/first"]);
    let _leader = Leader::start(api, Options::default());
    home.pod("p", &[(NETWORKS, "a")]).unwrap();
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.is_kept));
    home.delete_definition("a").unwrap();
    home.delete_pod("p").unwrap();
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|n| n.is_terminating && n.has_users(&[])));
    let object = api.client().get(&path).unwrap().json().unwrap();
    assert_eq!(object.pointer("/metadata/finalizers").unwrap(), &serde_json::json!(["example.com/first"]));
    finalizers(&[]);
    until_definition(api, home.name(), "a", |nad| nad.is_none());
}
