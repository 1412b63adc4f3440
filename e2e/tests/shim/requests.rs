//! What an ADD costs the API server, by its own counters; and DEL with that server really stopped.

use manifold_e2e::api_server::ApiServer;
use serde_json::json;

use crate::networks::With;
use crate::node::Node;

// Proves: F-API-9, F-API-1
#[test]
fn an_add_is_one_get_of_the_pod_one_of_each_definition_and_one_patch_and_a_del_is_nothing() {
    let api = ApiServer::start().unwrap();
    let node = Node::on(&api, "count");
    for name in ["a", "b"] {
        node.define(name, &node.macvlan(&[]).with("ipam", json!({})));
    }
    let storage = node.bridge("mf-storage", &["10.50.0.0/24"]);
    node.define("storage", &storage);
    let mut runtime = node.runtime();
    // Pod, networks asked for (some twice), whether the runtime passes annotations: GETs of pods, of definitions.
    let cases = [
        ("plain", "", true, 0, 1, 0),
        ("told", "a,storage", true, 0, 3, 1),
        ("asked", "a,storage,a,b,a", false, 1, 4, 1),
    ];
    let warm = node.sandbox("warm", "storage");
    runtime.add(&warm.pod).unwrap().must_succeed();
    runtime.del(&warm.pod).unwrap().must_succeed();
    for (name, networks, told, pods, definitions, patches) in cases {
        let sandbox = node.sandbox(name, networks);
        let oracle = node.oracle(&[&sandbox.netns]);
        let before = oracle.snapshot().unwrap();
        runtime.pass_annotations = told;
        let start = api.request_counts().unwrap();
        runtime.add(&sandbox.pod).unwrap().must_succeed();
        let spent = api.request_counts().unwrap().since(&start);
        assert_eq!(spent.of("GET", "pods"), pods, "{name}: {spent:?}");
        assert_eq!(spent.of("GET", "network-attachment-definitions"), definitions, "{name}: {spent:?}");
        assert_eq!(spent.of("PATCH", "pods/status"), patches, "{name}: {spent:?}");
        assert_eq!(spent.total(), pods + definitions + patches, "{name}: {spent:?}");
        let start = api.request_counts().unwrap();
        runtime.check(&sandbox.pod).unwrap().must_succeed();
        assert_eq!(api.request_counts().unwrap().since(&start).total(), 0);
        api.stop();
        runtime.del(&sandbox.pod).unwrap().must_succeed();
        node.assert_clean(&oracle, &before);
        api.start_again().unwrap();
        assert_eq!(
            api.request_counts().unwrap().total(),
            0,
            "a server that was started anew counts from zero"
        );
    }
}
