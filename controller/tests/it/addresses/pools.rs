//! What pools tell, and pools of definitions.

use serde_json::{Value, json};

use super::bed::{
    BLOCKS, Leader, POOLS, block, condition, events, get, held, macvlan, node, pod, pool, server, shared,
    spec, status, until, until_status,
};

// Shows part of: IPAM-27
#[test]
fn a_definition_with_ranges_has_its_pool_which_goes_with_it_once_nothing_of_it_is_used() {
    let api = server();
    let home = api.namespace("inline").unwrap();
    let _leader = Leader::start(&api, 1);
    let ipam = |start: &str| {
        let range = json!({"subnet": "10.1.0.0/24", "rangeStart": start, "gateway": "10.1.0.1"});
        macvlan(&json!({"type": "cluster-local", "ranges": [[range]]}))
    };
    home.definition("left", &ipam("10.1.0.10")).unwrap();
    let (name, network) = (format!("{}.left", home.name()), format!("{}/left", home.name()));
    until_status(&api, &name, |status| status.networks == [network.clone()] && status.total == 245);
    let uid = node(&api, "worker-7");
    block(&api, &held("10.1.0.16", "worker-7", &uid));
    pod(&home, "a", "worker-7", &["10.1.0.20"]);
    until_status(&api, &name, |status| status.used == 1 && status.idle == 15 && status.nodes == 1);
    // The definition changes while it is used by none of ours: its pool says what it says.
    let changed = json!({"spec": {"config": ipam("10.1.0.20")}});
    let path =
        format!("/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions/left", home.name());
    api.client().send("PATCH", &path, &changed).unwrap();
    until_status(&api, &name, |status| status.total == 235 && status.used == 1);
    home.delete_definition("left").unwrap();
    until_status(&api, &name, |status| status.networks.is_empty());
    assert!(get(&api, &format!("{POOLS}/{name}")).is_some(), "a pod has an address of it");
    home.delete_pod("a").unwrap();
    until("the pool goes", || get(&api, &format!("{POOLS}/{name}")).is_none());
}

// Proves: IPAM-29
#[test]
fn a_full_pool_grows_without_a_change_of_anything_else() {
    let api = server();
    let home = api.namespace("grow").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    let _leader = Leader::start(&api, 1);
    let range = |end: &str| json!([{"start": "10.2.0.1", "end": end}]);
    pool(&api, "storage", &json!({"subnet": "10.2.0.0/24", "ranges": range("10.2.0.2")}));
    let uid = node(&api, "worker-7");
    block(
        &api,
        &shared(
            "10.2.0.0",
            &json!({"1": super::bed::share("worker-7", &uid), "2": super::bed::share("worker-7", &uid)}),
        ),
    );
    pod(&home, "a", "worker-7", &["10.2.0.1"]);
    pod(&home, "b", "worker-7", &["10.2.0.2"]);
    until_status(&api, "storage", |status| condition(status, "Exhausted").0 == "True" && status.free == 0);
    assert!(condition(&status(&api, "storage"), "Exhausted").2.contains("all 2 addresses"));
    until("an event reports the exhaustion", || events(&api, "storage", "AddressesExhausted").len() == 1);
    api.client()
        .send("PATCH", &format!("{POOLS}/storage"), &json!({"spec": {"ranges": range("10.2.0.40")}}))
        .unwrap();
    until_status(&api, "storage", |status| {
        status.total == 40 && !status.open.is_empty() && condition(status, "Exhausted").0 == "False"
    });
    until("an event reports free addresses", || events(&api, "storage", "AddressesAvailable").len() == 1);
    assert_eq!(events(&api, "storage", "AddressesExhausted").len(), 1, "once for each crossing");
}

// Proves: IPAM-32
#[test]
fn a_pool_in_use_stays_until_nobody_has_an_address_of_it_and_names_who_has() {
    let api = server();
    let home = api.namespace("keep").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    let _leader = Leader::start(&api, 1);
    pool(&api, "storage", &json!({"subnet": "10.3.0.0/24"}));
    for (field, other) in [("domain", "other"), ("subnet", "10.4.0.0/24")] {
        let patch = json!({"spec": {field: other}}).to_string();
        let answer = api
            .client()
            .call("PATCH", &format!("{POOLS}/storage"), "application/merge-patch+json", patch.as_bytes())
            .unwrap();
        assert!(answer.status == 422 && answer.text().contains("cannot change"), "{}", answer.text());
    }
    let uid = node(&api, "worker-7");
    block(&api, &held("10.3.0.16", "worker-7", &uid));
    for n in 0..12 {
        pod(&home, &format!("p{n:02}"), "worker-7", &[&format!("10.3.0.{}", 16 + n)]);
    }
    let finalizers =
        || get(&api, &format!("{POOLS}/storage")).map(|pool| pool["metadata"]["finalizers"].clone());
    until("it is kept", || finalizers() == Some(json!(["ipam.manifold.network/in-use"])));
    until_status(&api, "storage", |status| status.used == 12);
    api.client().call("DELETE", &format!("{POOLS}/storage"), "application/json", b"").unwrap();
    until_status(&api, "storage", |status| condition(status, "Ready").1 == "KeptForPods");
    let told = condition(&status(&api, "storage"), "Ready").2.to_owned();
    assert!(
        told.contains("12 addresses")
            && told.contains(&format!("{}/p09", home.name()))
            && !told.contains("p10"),
        "{told}"
    );
    assert!(status(&api, "storage").next.is_empty(), "a pool that is being deleted gives no hints");
    for n in 0..12 {
        home.delete_pod(&format!("p{n:02}")).unwrap();
    }
    until("the pool goes", || finalizers().is_none());
}

// Shows part of: IPAM-34
#[test]
fn pools_that_disagree_about_the_same_addresses_name_each_other() {
    let api = server();
    let _leader = Leader::start(&api, 1);
    pool(&api, "wide", &json!({"subnet": "10.5.0.0/16", "gateway": "10.5.0.1"}));
    pool(&api, "narrow", &json!({"subnet": "10.5.7.0/24"}));
    pool(&api, "elsewhere", &json!({"subnet": "10.5.7.0/24", "domain": "other"}));
    until_status(&api, "wide", |status| condition(status, "Overlap").2.contains("narrow"));
    until_status(&api, "narrow", |status| condition(status, "Overlap").2.contains("wide"));
    until_status(&api, "elsewhere", |status| condition(status, "Overlap").0 == "False");
}

// Shows part of: IPAM-31, IPAM-30
#[test]
fn a_paused_pool_and_one_that_cannot_be_read_send_nobody_anywhere() {
    let api = server();
    let _leader = Leader::start(&api, 1);
    pool(&api, "storage", &json!({"subnet": "10.6.0.0/24"}));
    pool(&api, "slip", &json!({"subnet": "10.6.1.7/24"}));
    until_status(&api, "slip", |status| {
        condition(status, "Ready").1 == "Invalid" && condition(status, "Ready").2.contains("host bits")
    });
    until_status(&api, "storage", |status| !status.open.is_empty() && !status.next.is_empty());
    until("a reserve", || spec(&api, "default.10-6-0-0").is_some());
    api.client().send("PATCH", &format!("{POOLS}/storage"), &json!({"spec": {"paused": true}})).unwrap();
    until_status(&api, "storage", |status| {
        condition(status, "Ready").1 == "Paused" && status.open.is_empty() && status.next.is_empty()
    });
    until("no reserve of a pool that gives nothing", || spec(&api, "default.10-6-0-0").is_none());
}

// Shows part of: IPAM-45
#[test]
fn addresses_are_kept_open_and_the_block_with_most_free_ones_comes_back_in_a_shortage() {
    let api = server();
    let home = api.namespace("short").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    let leader = Leader::start(&api, 1);
    let [busy, free] = ["worker-7", "worker-8"].map(|name| node(&api, name));
    pod(&home, "a", "worker-7", &["10.7.0.1"]);
    block(&api, &held("10.7.0.0", "worker-7", &busy));
    block(&api, &held("10.7.0.16", "worker-8", &free));
    pool(&api, "storage", &json!({"subnet": "10.7.0.0/27"}));
    until("a recall", || spec(&api, "default.10-7-0-16").unwrap()["recall"]["reason"] == "PoolShort");
    assert_eq!(spec(&api, "default.10-7-0-0").unwrap().get("recall"), None, "one is enough");
    assert_eq!(leader.metric("manifold_address_recalls_total", "PoolShort"), 1.0);
    // Its node gives it back: it is the reserve now.
    block(&api, &shared("10.7.0.16", &json!({})));
    until_status(&api, "storage", |status| status.open.len() == 1 && status.idle == 14 && status.free == 15);
    let before = get(&api, BLOCKS).unwrap()["items"].as_array().map(Vec::len);
    assert_eq!(before, Some(2), "{:#?}", get(&api, BLOCKS).map(|list| list["items"].clone()));
}

// Shows part of: IPAM-36
#[test]
fn a_node_with_more_than_it_may_have_is_named() {
    let api = server();
    let _leader = Leader::start(&api, 1);
    let uid = node(&api, "worker-7");
    block(&api, &held("10.8.0.16", "worker-7", &uid));
    pool(&api, "storage", &json!({"subnet": "10.8.0.0/24", "maxPerNode": 8}));
    until_status(&api, "storage", |status| {
        let (is, reason, message) = condition(status, "Ready");
        is == "True" && reason == "NodeAboveLimit" && message.contains("worker-7 (16)")
    });
}

/// As `kubectl get addresspools` shows it.
fn row(api: &manifold_e2e::api_server::ApiServer, name: &str) -> Vec<Value> {
    let pools = get(api, POOLS).unwrap();
    let found = pools["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pool| pool["metadata"]["name"] == name)
        .unwrap()
        .clone();
    ["used", "free", "idle", "total", "nodes"].iter().map(|key| found["status"][key].clone()).collect()
}

// Shows part of: IPAM-28
#[test]
fn the_counts_are_those_of_a_thousand_pods_that_come_and_go() {
    let api = server();
    let home = api.namespace("count").unwrap();
    home.definition("left", &macvlan(&json!({"type": "cluster-local", "pools": ["storage"]}))).unwrap();
    pool(&api, "storage", &json!({"subnet": "10.9.0.0/20"}));
    let leader = Leader::start(&api, 1);
    let uids: Vec<String> = (0..10).map(|n| node(&api, &format!("worker-{n}"))).collect();
    // Each node has 7 blocks and 100 pods.
    for (n, uid) in uids.iter().enumerate() {
        for b in 0..7 {
            let at = 16 * (1 + n * 7 + b);
            block(&api, &held(&format!("10.9.{}.{}", at / 256, at % 256), &format!("worker-{n}"), uid));
        }
    }
    let address = |n: usize, p: usize| {
        let at = 16 * (1 + n * 7) + p;
        format!("10.9.{}.{}", at / 256, at % 256)
    };
    std::thread::scope(|scope| {
        for n in 0..10 {
            let (home, address) = (&home, &address);
            scope.spawn(move || {
                for p in 0..100 {
                    pod(home, &format!("p-{n}-{p}"), &format!("worker-{n}"), &[&address(n, p)]);
                }
                for p in 0..25 {
                    home.delete_pod(&format!("p-{n}-{p}")).unwrap();
                }
            });
        }
    });
    let told = std::time::Instant::now();
    until_status(&api, "storage", |status| status.used == 750 && status.nodes == 10);
    let took = told.elapsed();
    let total = 4094;
    let idle = 70 * 16 - 750;
    assert_eq!(
        row(&api, "storage"),
        [json!(750), json!(total - 70 * 16), json!(idle), json!(total), json!(10)]
    );
    eprintln!("the counts were right {took:?} after the last change");
    until("metrics", || leader.metric("manifold_addresses", "pool=\"storage\",state=\"Used\"") == 750.0);
}
