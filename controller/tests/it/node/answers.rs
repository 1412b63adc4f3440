//! Whose word counts when the command asks the nodes whether they have given their folders back.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use manifold_e2e::api_client::ApiClient;
use manifold_e2e::api_server::ApiServer;
use serde_json::{Value, json};

use super::bed::{DEFAULT, Node, define, server};
use super::uninstall::{EXISTING, Hook};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/manifold-system/events";
const OURS: &str = "manifold.network/controller";

/// "It is done", said of a node that does not answer.
fn answer(of: &str, mark: &str, controller: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "forged-"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "NodeUninstalled", "action": "Uninstalled",
        "type": "Normal", "reportingController": controller, "reportingInstance": instance,
        "note": format!("{of} [{mark}]: the CNI folders are as they were found"),
        "regarding": {"kind": "NetworkAttachmentDefinition", "namespace": "manifold-system", "name": "cluster-wide-network"},
    })
}

/// The mark of the command that runs; none when it has ended.
fn mark(api: &ApiServer, ended: &AtomicBool) -> Option<String> {
    while !ended.load(Ordering::SeqCst) {
        let object = api.client().get(DEFAULT).ok()?.json().unwrap_or_default();
        let mark = &object["metadata"]["annotations"]["manifold.network/uninstall"];
        if let Some(mark) = mark.as_str() {
            return Some(mark.to_owned());
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

fn said(client: &ApiClient, event: &Value) -> (u16, String) {
    let answer = client.call("POST", EVENTS, "application/json", event.to_string().as_bytes()).unwrap();
    (answer.status, answer.text())
}

/// A policy that has just been bound holds a moment later.
fn wait_enforced(thief: &ApiClient) {
    let until = Instant::now() + Duration::from_secs(120);
    while said(thief, &answer("node-mute", "of-no-command", OURS, "node-mute")).0 != 403 {
        assert!(Instant::now() < until, "nobody refuses an event in another node's name");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Every way to speak for the silent node that somebody has who is not on it. Whether there was time for all of them.
fn forge(api: &ApiServer, thief: &ApiClient, ended: &AtomicBool) -> bool {
    let Some(mark) = mark(api, ended) else { return false };
    let of = |controller, instance| answer("node-mute", &mark, controller, instance);
    for (who, event) in [(thief, of(OURS, "node-mute")), (api.client(), of(OURS, "node-mute"))] {
        let (status, told) = said(who, &event);
        assert!(status == 403 && told.contains("manifold-own-events"), "{status} {told}");
    }
    for (who, event) in [(thief, of(OURS, "node-thief")), (api.client(), of("x", "node-mute"))] {
        let (status, told) = said(who, &event);
        assert_eq!(status, 201, "{told}");
    }
    !ended.load(Ordering::SeqCst)
}

// Proves: S-26
#[test]
fn what_others_say_of_a_node_counts_for_nothing() {
    let api = server();
    define(&api, None);
    let api: &ApiServer = &api;
    let (thief, _mute) = (Node::new(api, "node-thief", json!({})), Node::new(api, "node-mute", json!({})));
    let token = fs::read_to_string(thief.host.path().join("token")).unwrap();
    let client = api.client_with_token(&token).unwrap();
    wait_enforced(&client);
    let hook = Hook::new(api);
    // Longer where that was too short for the lies to be told.
    let was_in_time = [2, 10, 60].into_iter().any(|seconds| {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let forger = scope.spawn(|| forge(api, &client, &ended));
            let told = hook.run(EXISTING, true, seconds);
            ended.store(true, Ordering::SeqCst);
            let is_forged = forger.join().unwrap();
            let told = format!("{:#}", told.unwrap_err());
            assert!(told.contains("node-mute: no answer"), "{told}");
            is_forged
        })
    });
    assert!(was_in_time, "no lie was told in time");
}
