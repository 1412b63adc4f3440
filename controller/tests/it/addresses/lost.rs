//! Nodes that are gone, folders that were lost, and what is kept of them for living pods. Time passes faster here.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::bed::{
    Leader, block, events, held, macvlan, node, pod, pool, server, share, shared, spec, until, until_status,
};

const SPEED: u32 = 20;

fn allocations(spec: Option<&Value>) -> Vec<String> {
    let found = spec.and_then(|spec| spec["allocations"].as_object().cloned()).unwrap_or_default();
    found
        .iter()
        .map(|(offset, one)| format!("{offset} {}", one["foreign"]["id"].as_str().unwrap_or("a node's")))
        .collect()
}

// Proves: IPAM-58
// Shows part of: IPAM-63
#[test]
fn a_lost_node_loses_its_addresses_after_the_time_set_but_for_what_living_pods_show() {
    let api = server();
    let home = api.namespace("lost").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.1.0.0/24", "reclaimAfterSeconds": 60}));
    let uids = ["gone", "off", "stays"].map(|name| node(&api, name));
    let lives = pod(&home, "lives", "gone", &["10.1.0.20"]);
    pod(&home, "ends", "gone", &["10.1.0.21"]);
    block(&api, &held("10.1.0.16", "gone", &uids[0]));
    block(&api, &held("10.1.0.32", "off", &uids[1]));
    block(&api, &shared("10.1.0.48", &json!({"1": share("gone", &uids[0]), "2": share("stays", &uids[2])})));
    let leader = Leader::start(&api, SPEED);
    until_status(&api, "storage", |status| status.used == 2 && status.nodes == 3);
    // Neither a node that is not ready nor one that is cordoned loses anything.
    let not_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    api.client().send("PATCH", "/api/v1/nodes/stays/status", &not_ready).unwrap();
    api.client().send("PATCH", "/api/v1/nodes/stays", &json!({"spec": {"unschedulable": true}})).unwrap();
    api.client().call("DELETE", "/api/v1/nodes/gone", "application/json", b"").unwrap();
    let taint =
        json!([{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]);
    api.client().send("PATCH", "/api/v1/nodes/off", &json!({"spec": {"taints": taint}})).unwrap();
    until("marks", || {
        ["default.10-1-0-16", "default.10-1-0-32"].iter().all(|name| {
            spec(&api, name)
                .is_some_and(|spec| spec["state"] == "Shared" || spec["recall"]["reason"] == "NodeLost")
        })
    });
    home.delete_pod("ends").unwrap();
    until("what lives stays", || {
        let spec = spec(&api, "default.10-1-0-16");
        spec.as_ref().is_some_and(|spec| spec["state"] == "Shared")
            && allocations(spec.as_ref()) == [format!("4 {lives}")]
    });
    until("all of the other", || {
        spec(&api, "default.10-1-0-32").is_none_or(|spec| spec["state"] == "Shared")
    });
    until("the single one", || allocations(spec(&api, "default.10-1-0-48").as_ref()) == ["2 a node's"]);
    assert!(leader.metric("manifold_address_reclaims_total", "NodeLost") >= 31.0);
    until("an event reports the reclaim", || !events(&api, "storage", "AddressesReclaimed").is_empty());
    // The kept address is released after its pod is deleted.
    home.delete_pod("lives").unwrap();
    until("it goes too", || allocations(spec(&api, "default.10-1-0-16").as_ref()).is_empty());
}

// Shows part of: IPAM-57, IPAM-58
#[test]
fn a_node_that_is_there_again_in_time_loses_nothing() {
    let api = server();
    pool(&api, "storage", &json!({"subnet": "10.2.0.0/24", "reclaimAfterSeconds": 86400}));
    let uid = node(&api, "worker-7");
    block(&api, &held("10.2.0.16", "worker-7", &uid));
    let _leader = Leader::start(&api, SPEED);
    let taint = |taints: Value| {
        api.client().send("PATCH", "/api/v1/nodes/worker-7", &json!({"spec": {"taints": taints}}))
    };
    taint(json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}])).unwrap();
    until("a mark", || spec(&api, "default.10-2-0-16").unwrap()["recall"]["reason"] == "NodeLost");
    taint(Value::Null).unwrap();
    until("no mark", || spec(&api, "default.10-2-0-16").unwrap().get("recall").is_none());
    assert_eq!(spec(&api, "default.10-2-0-16").unwrap()["holder"]["uid"], uid);
}

// Shows part of: IPAM-61
#[test]
fn of_a_lost_folder_only_what_living_pods_show_stays() {
    let api = server();
    let home = api.namespace("folder").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.3.0.0/24"}));
    let uid = node(&api, "worker-7");
    let pods: Vec<String> =
        (0..15).map(|n| pod(&home, &format!("p{n}"), "worker-7", &[&format!("10.3.0.{}", 16 + n)])).collect();
    let mut told = held("10.3.0.16", "worker-7", &uid);
    told["recall"] = json!({"reason": "StoreLost"});
    block(&api, &told);
    let _leader = Leader::start(&api, SPEED);
    until("the folder is lost", || {
        let found = spec(&api, "default.10-3-0-16");
        let mut kept = allocations(found.as_ref());
        let mut wanted: Vec<String> = pods.iter().enumerate().map(|(n, uid)| format!("{n} {uid}")).collect();
        kept.sort();
        wanted.sort();
        found.is_some_and(|spec| spec["state"] == "Shared") && kept == wanted
    });
    until("an event reports the lost addresses", || !events(&api, "storage", "AddressesLost").is_empty());
    sleep(Duration::from_millis(500));
    assert_eq!(allocations(spec(&api, "default.10-3-0-16").as_ref()).len(), 15, "they live still");
}
