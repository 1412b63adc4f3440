//! A network outlives its pods: neither deleted nor changed under them, and the refusal names them.

use http::Method;
use serde_json::{Value, json};

use super::bed::{Outcome, bed, default_network_alone, definition, definitions, judged};

const CONFIG: &str = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;
const FINALIZER: &str = "manifold.network/in-use";

/// A definition that so many pods use, as the controller marks it.
fn used(name: &str, pods: usize) -> String {
    let bed = bed();
    let mut object = definition(name, Some(CONFIG));
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    bed.put("other", &object);
    let path = format!("{}/{name}", definitions("other"));
    count(&path, pods);
    path
}

fn count(path: &str, pods: usize) {
    let names: Vec<String> = (0..pods.min(10)).map(|n| format!("shop/cart-{n}")).collect();
    let status = json!({"status": {"pods": pods, "podNames": names}});
    bed().api.client().send("PATCH", &format!("{path}/status"), &status).unwrap();
}

fn delete_as(path: &str, user: Option<&str>) -> Outcome {
    judged(&bed().client, &Method::DELETE, &format!("{path}?dryRun=All"), None, user)
}

fn patch(path: &str, change: &Value) -> Outcome {
    bed().dry_run(&Method::PATCH, path, Some(change))
}

// Proves: P-USE-5
#[test]
fn deleting_it_is_refused_with_the_first_ten_pods_and_their_number() {
    let bed = bed();
    let path = used("used-by-many", 12);
    let refused = delete_as(&path, None);
    bed.refused(
        &refused,
        &["`other/used-by-many`", "12 pods", "`shop/cart-0`", "`shop/cart-9`", "2 more", "delete these pods"],
    );
    count(&path, 0);
    // The finalizer alone keeps it too: the count follows within seconds.
    bed.refused(&delete_as(&path, None), &["pods use it"]);
    bed.api.client().send("PATCH", &path, &json!({"metadata": {"finalizers": []}})).unwrap();
    bed.allowed(&delete_as(&path, None), &[]);
}

// Proves: P-USE-5
#[test]
fn changing_its_network_is_refused_and_labels_are_free() {
    let bed = bed();
    let path = used("unchanging", 1);
    let other = CONFIG.replace("fake", "fake2");
    bed.refused(
        &patch(&path, &json!({"spec": {"config": other}})),
        &["`other/unchanging`", "1 pod", "`shop/cart-0`", "new name"],
    );
    let annotate = |key: &str| json!({"metadata": {"annotations": {key: "vendor.example/x"}}});
    bed.refused(&patch(&path, &annotate("k8s.v1.cni.cncf.io/resourceName")), &["`shop/cart-0`"]);
    bed.refused(&patch(&path, &annotate("manifold.network/configuration")), &["`shop/cart-0`"]);
    bed.allowed(&patch(&path, &annotate("team")), &[]);
    bed.allowed(&patch(&path, &json!({"metadata": {"labels": {"team": "a"}}})), &[]);
    bed.allowed(&patch(&path, &json!({"spec": {"config": CONFIG}})), &[]);
    bed.put_definition("other", "free", Some(CONFIG));
    bed.allowed(
        &patch(
            &format!("{}/free", definitions("other")),
            &json!({"spec": {"config": CONFIG.replace("1.0.0", "0.4.0")}}),
        ),
        &["`fake`"],
    );
}

// Shows part of: F-CTL-6
#[test]
fn the_collectors_of_namespaces_and_owners_are_let_through() {
    let bed = bed();
    let path = used("collected", 3);
    for collector in ["namespace-controller", "generic-garbage-collector"] {
        let user = format!("system:serviceaccount:kube-system:{collector}");
        bed.allowed(&delete_as(&path, Some(&user)), &[]);
    }
    for user in [
        "jane",
        "system:serviceaccount:shop:namespace-controller",
        "system:serviceaccount:kube-system:job-controller",
    ] {
        bed.refused(&delete_as(&path, Some(user)), &["3 pods"]);
    }
}

#[test]
fn deleting_all_at_once_is_refused_just_the_same() {
    let bed = bed();
    bed.api.ensure_namespace("collection").unwrap();
    let all = definitions("collection");
    let path = format!("{all}/one");
    let mut object = definition("one", Some(CONFIG));
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    bed.put("collection", &object);
    count(&path, 1);
    bed.refused(
        &judged(&bed.client, &Method::DELETE, &all, None, None),
        &["`collection/one`", "`shop/cart-0`"],
    );
    bed.api.client().send("PATCH", &path, &json!({"metadata": {"finalizers": []}})).unwrap();
    count(&path, 0);
    bed.allowed(&judged(&bed.client, &Method::DELETE, &all, None, None), &[]);
}

#[test]
fn asking_again_for_one_that_is_on_its_way_is_told_who_it_waits_for() {
    let bed = bed();
    let path = used("leaving", 2);
    let collector = "system:serviceaccount:kube-system:namespace-controller";
    let gone = judged(&bed.client, &Method::DELETE, &path, None, Some(collector));
    assert!(gone.allowed(), "{gone:?}");
    bed.allowed(&delete_as(&path, None), &["`shop/cart-1`"]);
}

#[test]
fn the_default_network_follows_the_controllers_own_configuration() {
    let (bed, _turn) = (bed(), default_network_alone());
    let mut object = definition("cluster-wide-network", Some(CONFIG));
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    bed.put("manifold-system", &object);
    let path = format!("{}/cluster-wide-network", definitions("manifold-system"));
    let change = json!({"spec": {"config": CONFIG.replace("1.0.0", "0.4.0")}});
    let change_as = |path: &str, user: &str| {
        judged(&bed.client, &Method::PATCH, &format!("{path}?dryRun=All"), Some(&change), Some(user))
    };
    let controller = "system:serviceaccount:manifold-system:manifold-cluster";
    bed.allowed(&change_as(&path, controller), &["`fake`"]);
    bed.refused(&change_as(&path, "jane"), &["manifold-system/cluster-wide-network"]);
    bed.refused(&change_as(&used("another", 1), controller), &["other/another"]);
    bed.api.client().send("PATCH", &path, &json!({"metadata": {"finalizers": []}})).unwrap();
    bed.api.client().call("DELETE", &path, "application/json", b"").unwrap();
}
