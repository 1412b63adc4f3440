//! Definitions that are deleted in the moment of their first use.

use std::thread;

use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use super::bed::{Leader, MACVLAN, Options, hasty, path, until};

const ROUNDS: usize = 1000;
const AT_ONCE: usize = 4;

// Proves: F-CTL-5
#[test]
fn a_definition_deleted_at_its_first_use_is_kept_or_gone_and_never_stuck() {
    let api = &ApiServer::start().unwrap();
    let home = api.namespace("race").unwrap();
    let leader = Leader::start(api, Options { pace: hasty(), ..Options::default() });
    until("it has begun", || leader.metric("manifold_usage_writes_total", "") >= 0.0);
    let kept: usize = thread::scope(|scope| {
        let race = |worker: usize| {
            let home = home.name().to_owned();
            scope.spawn(move || (worker..ROUNDS).step_by(AT_ONCE).filter(|n| round(api, &home, *n)).count())
        };
        let racing: Vec<_> = (0..AT_ONCE).map(race).collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    eprintln!("{kept} of {ROUNDS} definitions were kept by the finalizer");
    let left = || {
        let list = api.client().get(&path(home.name(), "")).unwrap().json().unwrap();
        list.get("items").and_then(Value::as_array).map_or(0, Vec::len)
    };
    until("every definition is gone with its pods", || left() == 0);
    assert_eq!(leader.metric("manifold_usage_writes_total", "Refused"), 0.0);
}

/// Whether the definition was still there with a pod that uses it, which then must be by the finalizer.
fn round(api: &ApiServer, home: &str, n: usize) -> bool {
    let mut session = api.client().session();
    let name = format!("n{n}");
    let definition = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name}, "spec": {"config": MACVLAN}});
    assert!(session.write("POST", path(home, "").trim_end_matches('/'), &definition).unwrap().ok());
    let pods = format!("/api/v1/namespaces/{home}/pods");
    let pod = json!({"metadata": {"name": name, "annotations": {NETWORKS: name}}, "spec": {
        "nodeName": "test-node", "automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}],
    }});
    assert!(session.write("POST", &pods, &pod).unwrap().ok());
    // From at once to just after the finalizer usually comes.
    thread::sleep(std::time::Duration::from_millis((n % 8) as u64 * 3));
    assert!(session.delete(&path(home, &name)).unwrap().ok());
    let answer = session.get(&path(home, &name)).unwrap();
    let is_kept = answer.ok() && {
        let object = answer.json().unwrap();
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).cloned();
        assert!(finalizers.is_some_and(|f| !f.is_empty()), "it is there without a reason: {object}");
        true
    };
    // The pod works on in either case; a definition that went meanwhile keeps nobody from deleting it.
    assert!(session.get(&format!("{pods}/{name}")).unwrap().ok());
    assert!(session.delete(&format!("{pods}/{name}?gracePeriodSeconds=0")).unwrap().ok());
    is_kept
}
