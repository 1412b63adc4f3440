//! Pods that run without the networks they asked for.

use manifold_crds::keys::{NETWORK_STATUS, NETWORKS};
use manifold_e2e::api_server::ApiServer;

use super::bed::{
    CHAIN, Leader, MACVLAN, Options, annotate, definition, impatient, phase, until, until_definition,
};
use super::deletion::events;

// Proves: F-CTL-8, P-UP-2
#[test]
fn a_running_pod_without_a_status_is_told_to_people_and_to_its_node() {
    let api = &ApiServer::start().unwrap();
    api.ensure_namespace("manifold-system").unwrap();
    api.definition("manifold-system", "cluster-wide-network", CHAIN).unwrap();
    let home = api.namespace("unpublished").unwrap();
    home.definition("a", MACVLAN).unwrap();
    let uid = home.pod("runs", &[(NETWORKS, "a")]).unwrap();
    home.pod("starts", &[(NETWORKS, "a")]).unwrap();
    home.pod("plain", &[]).unwrap();
    home.pod("told", &[(NETWORKS, "a"), (NETWORK_STATUS, "[{}]")]).unwrap();
    for pod in ["runs", "plain", "told"] {
        phase(api, home.name(), pod, "Running");
    }
    let options = Options { pace: impatient(), ..Options::default() };
    let leader = Leader::start(api, options.clone());
    let marks = || {
        let nad = definition(api, "manifold-system", "cluster-wide-network").unwrap();
        nad.status.republish.into_iter().map(|mark| (mark.uid, mark.namespace, mark.name)).collect::<Vec<_>>()
    };
    let mark = (uid, home.name().to_owned(), "runs".to_owned());
    until("the node is told", || marks() == [mark.clone()]);
    assert_eq!(leader.metric("manifold_usage_pods_without_status", ""), 1.0);
    until("people are told", || {
        events(api, home.name(), "runs").contains(&"NetworkStatusMissing".to_owned())
    });
    until("people are told what to do when the node cannot help", || {
        notes(api, home.name()).iter().any(|note| note.contains("delete the pod so that it is created again"))
    });
    for pod in ["starts", "plain", "told"] {
        assert_eq!(events(api, home.name(), pod), [""; 0], "{pod}");
    }
    // A new leader goes on where the old one was.
    drop(leader);
    let leader = Leader::start(api, options);
    phase(api, home.name(), "starts", "Running");
    until("it finds the other too", || marks().len() == 2);
    assert!(marks().contains(&mark));
    annotate(api, home.name(), "runs", NETWORK_STATUS, "[{}]");
    home.delete_pod("starts").unwrap();
    until("marks go when their status has come", || marks().is_empty());
    until("the metric too", || leader.metric("manifold_usage_pods_without_status", "") == 0.0);
    until_definition(api, home.name(), "a", |nad| nad.is_some_and(|nad| nad.status.pods == 2));
}

fn notes(api: &ApiServer, namespace: &str) -> Vec<String> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let list = api.client().get(&path).unwrap().json().unwrap();
    let items = list.get("items").and_then(|items| items.as_array()).cloned().unwrap_or_default();
    items.iter().filter_map(|event| Some(event.get("note")?.as_str()?.to_owned())).collect()
}
