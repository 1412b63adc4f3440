//! Addresses that nobody gave, or that two pods show, and addresses that pods ask for by name.

use manifold_crds::keys::NETWORKS;
use serde_json::json;

use super::bed::{
    Leader, block, condition, events, held, macvlan, node, pod, pool, server, spec, status, until,
    until_status,
};

// Proves: IPAM-65
// Shows part of: IPAM-81
#[test]
fn what_pods_of_host_local_show_is_kept_from_all_others_and_two_of_them_are_told() {
    let api = server();
    let home = api.namespace("stray").unwrap();
    home.definition("left", &macvlan(&json!({"type": "host-local", "subnet": "10.1.0.0/24"}))).unwrap();
    let _leader = Leader::start(&api, 1);
    let [a, b] = ["worker-7", "worker-8"].map(|name| node(&api, name));
    let old = pod(&home, "old", "worker-7", &["10.1.0.20"]);
    pod(&home, "older", "worker-7", &["10.1.0.40"]);
    pool(&api, "storage", &json!({"subnet": "10.1.0.0/24"}));
    // Nobody has the block: each address is the pod's.
    until("a foreign allocation", || {
        spec(&api, "default.10-1-0-16").is_some_and(|spec| spec["allocations"]["4"]["foreign"]["id"] == old)
    });
    // A node took the block before the pod was seen: it gives all of it but that.
    block(&api, &held("10.1.0.32", "worker-8", &b));
    until("a withheld address", || {
        spec(&api, "default.10-1-0-32")
            .is_some_and(|spec| spec["withheld"]["8"]["pod"] == format!("{}/older", home.name()))
    });
    // The holder's own pods are no strays.
    block(&api, &held("10.1.0.48", "worker-7", &a));
    pod(&home, "own", "worker-7", &["10.1.0.50"]);
    pod(&home, "twin", "worker-8", &["10.1.0.20"]);
    until_status(&api, "storage", |status| condition(status, "Duplicates").0 == "True");
    let told = condition(&status(&api, "storage"), "Duplicates").2.to_owned();
    let names = ["old", "twin"].map(|pod| format!("{}/{pod}", home.name()));
    assert!(told.contains("10.1.0.20") && names.iter().all(|name| told.contains(name)), "{told}");
    until("it is told", || events(&api, "storage", "AddressConflict").len() == 1);
    assert_eq!(spec(&api, "default.10-1-0-48").unwrap().get("withheld"), None);
    home.delete_pod("twin").unwrap();
    until_status(&api, "storage", |status| condition(status, "Duplicates").0 == "False" && status.used == 3);
}

// Shows part of: IPAM-50
#[test]
fn a_block_is_recalled_for_a_waiting_pod_that_asks_for_an_address_of_it() {
    let api = server();
    let home = api.namespace("wish").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.2.0.0/24"}));
    let _leader = Leader::start(&api, 1);
    let [a, b] = ["worker-7", "worker-8"].map(|name| node(&api, name));
    block(&api, &held("10.2.0.16", "worker-7", &a));
    block(&api, &held("10.2.0.32", "worker-8", &b));
    let ask = |name: &str, ip: &str| {
        let networks = json!([{"name": "left", "ips": [ip]}]).to_string();
        api.pod(home.name(), name, "worker-7", &[(NETWORKS, &networks)]).unwrap();
    };
    ask("own", "10.2.0.20");
    ask("other", "10.2.0.40");
    until("a recall", || spec(&api, "default.10-2-0-32").unwrap()["recall"]["reason"] == "FixedAddress");
    assert_eq!(spec(&api, "default.10-2-0-16").unwrap().get("recall"), None, "its node gives it itself");
}
