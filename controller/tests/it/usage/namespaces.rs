//! A namespace that is deleted with networks in use.

use manifold_crds::keys::NETWORKS;
use manifold_e2e::api_server::{ApiServer, Options as ServerOptions};

use super::bed::{Leader, MACVLAN, Options, until, until_definition};

// Proves: F-CTL-6
#[test]
fn a_namespace_with_networks_in_use_goes_and_users_from_elsewhere_are_named() {
    let api = &ApiServer::start_with(ServerOptions { controller_manager: true, ..ServerOptions::default() })
        .unwrap();
    for name in ["own", "shared", "elsewhere"] {
        api.ensure_namespace(name).unwrap();
    }
    let isolation = "networks: {namespaceIsolation: false}";
    let _leader = Leader::start(api, Options { config: isolation.into(), ..Options::default() });
    let pod = |namespace: &str, networks: &str| {
        let pod = serde_json::json!({"metadata": {"name": "p", "annotations": {NETWORKS: networks}}, "spec": {
            // Not bound: with no kubelet, a pod that is would never come to its end.
            "automountServiceAccountToken": false, "containers": [{"name": "main", "image": "none"}],
        }});
        api.client().send("POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod).unwrap();
    };
    for namespace in ["own", "shared"] {
        api.definition(namespace, "a", MACVLAN).unwrap();
        pod(namespace, "a");
    }
    pod("elsewhere", "shared/a");
    until_definition(api, "own", "a", |nad| nad.is_some_and(|n| n.has_users(&["own/p"])));
    until_definition(api, "shared", "a", |nad| {
        nad.is_some_and(|n| n.has_users(&["elsewhere/p", "shared/p"]))
    });
    let delete = |path: &str| drop(api.client().call("DELETE", path, "application/json", b"").unwrap());
    let is_there =
        |namespace: &str| api.client().get(&format!("/api/v1/namespaces/{namespace}")).unwrap().ok();
    delete("/api/v1/namespaces/own");
    delete("/api/v1/namespaces/shared");
    until("the namespace with its own users goes", || !is_there("own"));
    until_definition(api, "shared", "a", |nad| {
        nad.is_some_and(|n| {
            let (_, reason, message) = n.condition("InUse");
            reason == "KeptForPods"
                && message.contains("from other namespaces: `elsewhere/p`")
                && n.has_users(&["elsewhere/p"])
        })
    });
    assert!(is_there("shared"));
    delete("/api/v1/namespaces/elsewhere/pods/p?gracePeriodSeconds=0");
    until("the other goes when they are gone", || !is_there("shared"));
}
