//! IPAMClaims: they are completed, kept and let go, and made for the pods of StatefulSets.

use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::{ApiServer, TestNamespace};
use serde_json::{Value, json};

use super::bed::{
    Leader, POOLS, block, claimed, get, macvlan, node, pool, server, shared, spec, until, until_status,
};

fn path(home: &TestNamespace<'_>) -> String {
    format!("/apis/k8s.cni.cncf.io/v1alpha1/namespaces/{}/ipamclaims", home.name())
}

fn make(api: &ApiServer, home: &TestNamespace<'_>, name: &str) -> String {
    let object = json!({
        "apiVersion": "k8s.cni.cncf.io/v1alpha1", "kind": "IPAMClaim", "metadata": {"name": name},
        "spec": {"network": "left", "interface": "net1"},
    });
    api.client().send("POST", &path(home), &object).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn claim(api: &ApiServer, home: &TestNamespace<'_>, name: &str) -> Option<Value> {
    get(api, &format!("{}/{name}", path(home)))
}

// Shows part of: IPAM-53
#[test]
fn the_addresses_of_a_claim_stay_with_it_through_everything_and_are_free_at_its_end() {
    let api = server();
    let home = api.namespace("claim").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.1.0.0/24"}));
    node(&api, "worker-7");
    let uid = make(&api, &home, "vm-a.left");
    let networks = json!([{"name": "left", "ipam-claim-reference": "vm-a.left"}]).to_string();
    api.pod(home.name(), "vm-a", "worker-7", &[(NETWORKS, &networks)]).unwrap();
    // An ADD took the address and was killed before it told so.
    block(&api, &shared("10.1.0.16", &json!({"4": claimed(home.name(), "vm-a.left", &uid)})));
    let _leader = Leader::start(&api, 5);
    until("the claim is kept and complete", || {
        let claim = claim(&api, &home, "vm-a.left").unwrap();
        claim["metadata"]["finalizers"] == json!(["ipam.manifold.network/addresses"])
            && claim["status"]["ips"] == json!(["10.1.0.20/24"])
    });
    until_status(&api, "storage", |status| status.used == 1);
    let has_it =
        || spec(&api, "default.10-1-0-16").is_some_and(|spec| spec["allocations"].get("4").is_some());
    // Pod and node go; the claim stays, and with it the address.
    api.client().call("DELETE", "/api/v1/nodes/worker-7", "application/json", b"").unwrap();
    home.delete_pod("vm-a").unwrap();
    api.pod(home.name(), "vm-b", "worker-8", &[(NETWORKS, &networks)]).unwrap();
    api.client().call("DELETE", &format!("{}/vm-a.left", path(&home)), "application/json", b"").unwrap();
    let goes = || {
        claim(&api, &home, "vm-a.left")
            .is_some_and(|claim| claim["metadata"]["deletionTimestamp"].is_string())
    };
    until("it is asked to go", goes);
    // The leader has finished a round since the deletion once it has published the status of a new pool.
    pool(&api, "later", &json!({"subnet": "10.99.0.0/24"}));
    until_status(&api, "later", |status| status.total == 254);
    until_status(&api, "later", |status| !status.open.is_empty());
    assert!(has_it() && goes(), "a pod names it");
    home.delete_pod("vm-b").unwrap();
    until("it is gone", || claim(&api, &home, "vm-a.left").is_none());
    until("its address too", || !has_it());
}

// Shows part of: IPAM-52
#[test]
fn what_a_claim_does_not_name_and_what_has_no_claim_any_more_is_free_again() {
    let api = server();
    let home = api.namespace("unnamed").unwrap();
    pool(&api, "storage", &json!({"subnet": "10.2.0.0/24"}));
    let uid = make(&api, &home, "a");
    let status = json!({"status": {"ips": ["10.2.0.20/24"], "ownerPod": "a-0"}});
    api.client().send("PATCH", &format!("{}/a/status", path(&home)), &status).unwrap();
    let of = |uid: &str| claimed(home.name(), "a", uid);
    block(&api, &shared("10.2.0.16", &json!({"4": of(&uid), "5": of(&uid), "6": of("of-an-earlier-one")})));
    let _leader = Leader::start(&api, 20);
    until("two of three go", || {
        let spec = spec(&api, "default.10-2-0-16").unwrap();
        spec["allocations"].as_object().is_some_and(|all| all.keys().eq(["4"]))
    });
}

// Shows part of: IPAM-55
#[test]
fn the_pods_of_a_stateful_set_get_claims_where_the_pool_is_sticky() {
    let api = server();
    let home = api.namespace("sticky").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    home.definition("right", &macvlan(&json!({"type": "cluster-local", "pools": ["other"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.3.0.0/24", "sticky": "StatefulSet"}));
    pool(&api, "other", &json!({"subnet": "10.4.0.0/24"}));
    let _leader = Leader::start(&api, 1);
    until_status(&api, "storage", |status| status.total == 254);
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "5e7-1"}]);
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "annotations": {NETWORKS: "left,right,left@data"}, "ownerReferences": owner},
        "spec": {"nodeName": "worker-7", "automountServiceAccountToken": false, "containers": [{"name": "a", "image": "none"}]},
    });
    api.client().send("POST", &format!("/api/v1/namespaces/{}/pods", home.name()), &object).unwrap();
    for (name, interface) in [("web-0.left.net1", "net1"), ("web-0.left.data", "data")] {
        until(name, || claim(&api, &home, name).is_some());
        let claim = claim(&api, &home, name).unwrap();
        assert_eq!(claim["spec"], json!({"network": "left", "interface": interface}));
        assert_eq!(claim["metadata"]["ownerReferences"][0]["uid"], "5e7-1");
    }
    assert!(claim(&api, &home, "web-0.right.net2").is_none(), "that pool is not sticky");
    assert!(get(&api, &format!("{POOLS}/other")).is_some());
}
