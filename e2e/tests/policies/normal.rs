//! Everyday life under the shipped roles and policies: nobody is refused.
//!
//! The controllers are the real ones; scheduler, kubelet, shim and controller are played, each with the identity and
//! the requests of the real one.

use serde_json::{Value, json};

use crate::attempt::{IN_USE, PLAIN, SELECTION, STATUS};
use crate::bed::{Bed, DEFAULT_NETWORKS, NETWORKS, NODE_A, PODS, message, shipped, wait};
use crate::cases::events::{OURS, event};
use crate::identity::{Who, token_request};
use crate::manifests;
use crate::objects::{annotations, new_network, new_pod};
use crate::patch::How;

const JSON: &str = "application/json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/manifold-system/leases";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

/// How many requests a policy refused since the server's start.
fn refusals(bed: &Bed) -> f64 {
    let name = "apiserver_validating_admission_policy_check_total{";
    let denied = |line: &&str| line.starts_with(name) && line.contains("enforcement_action=\"deny\"");
    bed.metrics().lines().filter(denied).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn nothing_is_refused(work: impl FnOnce(&Bed)) {
    let bed = shipped();
    let before = refusals(&bed);
    // The count works: the servers of this bed have refused the probes with which it began.
    assert!(before > 0.0);
    work(&bed);
    assert_eq!(refusals(&bed), before, "a policy refused something");
}

fn patch(bed: &Bed, who: Who, how: How, path: &str, body: &Value) -> Value {
    bed.must(who, "PATCH", &format!("{path}{}", how.query()), how.content_type(), body)
}

fn get(bed: &Bed, path: &str) -> Value {
    bed.must(Who::Admin, "GET", path, JSON, &Value::Null)
}

/// Scheduler, kubelet and shim, for one pod.
fn start(bed: &Bed, name: &str) {
    let path = format!("{PODS}/{name}");
    let status = format!("{path}/status");
    let waiting = json!({"status": {"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": "wait"},
    ]}});
    patch(bed, Who::Scheduler, How::Strategic, &status, &waiting);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "annotations": {"example.com/why": "room"}},
        "target": {"kind": "Node", "name": NODE_A},
    });
    bed.must(Who::Scheduler, "POST", &format!("{path}/binding"), JSON, &binding);
    let phase = |phase: &str| json!({"status": {"phase": phase, "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}});
    patch(bed, Who::Kubelet, How::Strategic, &status, &phase("Pending"));
    let uid = get(bed, &path)["metadata"]["uid"].clone();
    let published = json!({"metadata": {"uid": uid, "annotations": {STATUS: "[{}]"}}});
    patch(bed, Who::Shim, How::Merge, &status, &published);
    patch(bed, Who::Kubelet, How::Strategic, &status, &phase("Running"));
    // Published again, from the ledger.
    patch(bed, Who::Shim, How::Merge, &status, &published);
    assert_eq!(get(bed, &path)["metadata"]["annotations"][STATUS], "[{}]");
}

/// The kubelet's last word on a pod that is being deleted.
fn finish(bed: &Bed, name: &str) {
    let done = json!({"status": {"phase": "Succeeded"}});
    patch(bed, Who::Kubelet, How::Strategic, &format!("{PODS}/{name}/status"), &done);
    bed.must(Who::Kubelet, "DELETE", &format!("{PODS}/{name}?gracePeriodSeconds=0"), JSON, &Value::Null);
}

fn pods_of(bed: &Bed, app: &str) -> Vec<Value> {
    get(bed, &format!("{PODS}?labelSelector=app%3D{app}"))["items"].as_array().unwrap().clone()
}

// Proves: T-12
#[test]
fn a_deployment_lives_its_life() {
    nothing_is_refused(|bed| {
        let network = new_network(json!({"name": "life"}), "{}");
        bed.must(Who::Admin, "POST", NETWORKS, JSON, &network);
        let in_use = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "life", "finalizers": [IN_USE]}});
        patch(bed, Who::Cluster, How::Apply, &format!("{NETWORKS}/life"), &in_use);
        let template = json!({
            "metadata": {"labels": {"app": "life"}, "annotations": {SELECTION: "life"}},
            "spec": new_pod(Value::Null, None)["spec"],
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "life"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "life"}}, "template": template},
        });
        bed.must(Who::Admin, "POST", DEPLOYMENTS, JSON, &deployment);
        wait("two pods are made", || match pods_of(bed, "life").len() {
            2 => Ok(()),
            n => Err(format!("{n} pods")),
        });
        let names: Vec<String> = pods_of(bed, "life").iter().map(manifests::name).collect();
        names.iter().for_each(|name| start(bed, name));
        used_by_people(bed, &names[0]);
        bed.must(Who::Admin, "DELETE", &format!("{DEPLOYMENTS}/life"), JSON, &Value::Null);
        wait("the pods are being deleted", || {
            let stay =
                pods_of(bed, "life").iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).count();
            if stay == 0 { Ok(()) } else { Err(format!("{stay} stay")) }
        });
        pods_of(bed, "life").iter().for_each(|pod| finish(bed, &manifests::name(pod)));
        bed.must(Who::Admin, "DELETE", &format!("{NETWORKS}/life"), JSON, &Value::Null);
        let released = json!({"metadata": {"finalizers": null}});
        patch(bed, Who::Cluster, How::Merge, &format!("{NETWORKS}/life"), &released);
        assert_eq!(bed.api.client().get(&format!("{NETWORKS}/life")).unwrap().status, 404);
    });
}

/// What people do with a pod that runs.
fn used_by_people(bed: &Bed, name: &str) {
    let path = format!("{PODS}/{name}");
    let by =
        |how, below: &str, body: Value| drop(patch(bed, Who::Admin, how, &format!("{path}{below}"), &body));
    by(How::Merge, "", annotations(json!({PLAIN: "1"})));
    by(How::Merge, "", json!({"metadata": {"labels": {"tier": "web"}, "finalizers": ["example.com/wait"]}}));
    by(How::Merge, "", json!({"metadata": {"finalizers": null}}));
    by(
        How::Strategic,
        "/ephemeralcontainers",
        json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "none"}]}}),
    );
    by(
        How::Strategic,
        "/resize",
        json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "15m"}}}]}}),
    );
    // The whole object as it was read, status annotation included: `kubectl edit`, `kubectl replace`.
    let whole = get(bed, &path);
    bed.must(Who::Admin, "PUT", &path, JSON, &whole);
    bed.must(Who::Admin, "PUT", &format!("{path}/status"), JSON, &whole);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
        "deleteOptions": {"dryRun": ["All"]}});
    bed.must(Who::Admin, "POST", &format!("{path}/eviction"), JSON, &eviction);
}

// Proves: T-12
#[test]
fn a_static_pods_mirror_gets_its_status() {
    nothing_is_refused(|bed| {
        let name = bed.fresh("static");
        let metadata = json!({
            "name": name,
            "annotations": {SELECTION: "right", "kubernetes.io/config.mirror": "hash", "kubernetes.io/config.source": "file"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": NODE_A, "uid": bed.node_uid, "controller": true},
            ],
        });
        bed.must(Who::Kubelet, "POST", PODS, JSON, &new_pod(metadata, Some(NODE_A)));
        let published = json!([
            {"op": "test", "path": "/metadata/annotations/kubernetes.io~1config.mirror", "value": "hash"},
            {"op": "add", "path": "/metadata/annotations/k8s.v1.cni.cncf.io~1network-status", "value": "[{}]"},
        ]);
        patch(bed, Who::Shim, How::Json, &format!("{PODS}/{name}/status"), &published);
        finish(bed, &name);
    });
}

// Proves: T-12
#[test]
fn a_namespace_with_pods_and_networks_can_be_deleted() {
    nothing_is_refused(|bed| {
        let name = bed.fresh("leaving");
        bed.api.ensure_namespace(&name).unwrap();
        let objects = [
            (PODS, new_pod(json!({"name": "x", "annotations": {SELECTION: "x"}}), None)),
            (NETWORKS, new_network(json!({"name": "x"}), "{}")),
        ];
        for (path, object) in objects {
            let path = path.replace("/shop/", &format!("/{name}/"));
            bed.must(Who::Admin, "POST", &path, JSON, &object);
        }
        let path = format!("/api/v1/namespaces/{name}");
        bed.must(Who::Admin, "DELETE", &path, JSON, &Value::Null);
        wait("the namespace is gone", || {
            let answer = bed.api.client().get(&path).unwrap();
            if answer.status == 404 { Ok(()) } else { Err(answer.text()) }
        });
    });
}

/// From its own pod's token to the shim's, and the one definition that it follows.
// Proves: S-26, T-12
#[test]
fn the_node_role_does_its_work() {
    nothing_is_refused(|bed| {
        let tokens = "/api/v1/namespaces/manifold-system/serviceaccounts/manifold-shim/token";
        let bound = json!({"apiVersion": "v1", "kind": "Node", "name": NODE_A, "uid": bed.node_uid});
        let answer = bed.must(Who::Node, "POST", tokens, JSON, &token_request(86_400, Some(bound)));
        let fresh = bed.api.client_with_token(answer["status"]["token"].as_str().unwrap()).unwrap();
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let who = fresh.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).unwrap();
        let extra = &who["status"]["userInfo"]["extra"];
        assert_eq!(extra["authentication.kubernetes.io/node-name"], json!([NODE_A]), "{who}");
        let one = format!("{DEFAULT_NETWORKS}/cluster-wide-network");
        let version =
            bed.must(Who::Node, "GET", &one, JSON, &Value::Null)["metadata"]["resourceVersion"].clone();
        let watch = format!(
            "{DEFAULT_NETWORKS}?watch=true&fieldSelector=metadata.name%3Dcluster-wide-network&timeoutSeconds=1\
             &resourceVersion={}",
            version.as_str().unwrap()
        );
        bed.must(Who::Node, "GET", &watch, JSON, &Value::Null);
        events(bed, Who::Node, NODE_A);
    });
}

fn events(bed: &Bed, who: Who, instance: &str) {
    let path = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let made = bed.must(who, "POST", path, JSON, &event(OURS, instance));
    let again = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    patch(bed, who, How::Merge, &format!("{path}/{}", manifests::name(&made)), &again);
}

// Proves: S-25, T-12
#[test]
fn the_cluster_role_does_its_work() {
    nothing_is_refused(|bed| {
        for (_, crd) in manifests::read("crds/yaml") {
            let path =
                format!("{}?fieldManager=manifold-controller&force=true&dryRun=All", manifests::place(&crd));
            bed.must(Who::Cluster, "PATCH", &path, How::Apply.content_type(), &crd);
        }
        default_network(bed);
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "manifold-controller"}});
        let made = bed.must(Who::Cluster, "POST", LEASES, JSON, &lease);
        bed.must(Who::Cluster, "PUT", &format!("{LEASES}/manifold-controller"), JSON, &made);
        secret(bed);
        webhook(bed);
        for policy in manifests::policies() {
            for kind in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
                bed.must(Who::Cluster, "GET", &format!("{ADMISSION}/{kind}/{policy}"), JSON, &Value::Null);
            }
        }
        let everywhere = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions";
        for list in [everywhere, "/api/v1/pods"] {
            bed.must(Who::Cluster, "GET", &format!("{list}?limit=500"), JSON, &Value::Null);
            bed.must(Who::Cluster, "GET", &format!("{list}?watch=true&timeoutSeconds=1"), JSON, &Value::Null);
        }
        events(bed, Who::Cluster, "manifold-controller-0");
        may_create_the_crd_and_no_other(bed);
    });
}

/// Gone, made anew, and cleared of what somebody wrote into it; as `controller/src/cluster/default_network.rs` does it.
fn default_network(bed: &Bed) {
    let path = format!("{DEFAULT_NETWORKS}/cluster-wide-network");
    patch(bed, Who::Cluster, How::Merge, &path, &json!({"metadata": {"finalizers": null}}));
    bed.must(Who::Admin, "DELETE", &path, JSON, &Value::Null);
    let named = json!({"manifold.network/configuration": "manifold-built-in"});
    let wanted = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "cluster-wide-network", "annotations": named},
    });
    patch(bed, Who::Cluster, How::Apply, &path, &wanted);
    let edited = json!({"metadata": {"annotations": {"manifold.network/configuration": "other", PLAIN: "1"}},
        "spec": {"config": "{}"}});
    patch(bed, Who::Admin, How::Merge, &path, &edited);
    patch(bed, Who::Cluster, How::Merge, &path, &json!({"metadata": {"finalizers": [IN_USE]}}));
    patch(bed, Who::Cluster, How::Apply, &path, &wanted);
    let out = json!({"metadata": {"annotations": named}, "spec": {"config": null}});
    patch(bed, Who::Cluster, How::Merge, &path, &out);
    let status = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "cluster-wide-network"}, "status": {"pods": 1, "podNames": ["shop/x"]},
    });
    patch(bed, Who::Cluster, How::Apply, &format!("{path}/status"), &status);
}

fn secret(bed: &Bed) {
    let secrets = "/api/v1/namespaces/manifold-system/secrets";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "manifold-webhook"},
        "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}});
    bed.must(Who::Cluster, "POST", secrets, JSON, &secret);
    let one = format!("{secrets}/manifold-webhook");
    let read = bed.must(Who::Cluster, "GET", &one, JSON, &Value::Null);
    bed.must(Who::Cluster, "PUT", &one, JSON, &read);
    watch_by_name(bed, secrets, "manifold-webhook");
}

/// Brought by the manifests, and given its CA, first and again.
fn webhook(bed: &Bed) {
    let list = format!("{ADMISSION}/validatingwebhookconfigurations");
    let mut all = manifests::read("deploy/cluster").into_iter().map(|(_, object)| object);
    let shipped = all.find(|object| object["kind"] == "ValidatingWebhookConfiguration").unwrap();
    let hooks = shipped["webhooks"].as_array().unwrap();
    let names: Vec<Value> = hooks.iter().map(|hook| hook["name"].clone()).collect();
    bed.must(Who::Admin, "POST", &list, JSON, &shipped);
    let one = format!("{list}/manifold");
    for bundle in ["b25l", "dHdv"] {
        let hook = |name: &Value| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        let given = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "manifold"}, "webhooks": names.iter().map(hook).collect::<Vec<_>>(),
        });
        patch(bed, Who::Cluster, How::Apply, &one, &given);
    }
    let stored = bed.must(Who::Cluster, "GET", &one, JSON, &Value::Null);
    assert!(
        stored["webhooks"].as_array().unwrap().iter().all(|hook| hook["clientConfig"]["caBundle"] == "dHdv")
    );
    bed.must(Who::Admin, "DELETE", &one, JSON, &Value::Null);
}

/// As kube's watcher does it.
fn watch_by_name(bed: &Bed, all: &str, name: &str) {
    let selected = format!("{all}?fieldSelector=metadata.name%3D{name}");
    bed.must(Who::Cluster, "GET", &selected, JSON, &Value::Null);
    bed.must(Who::Cluster, "GET", &format!("{selected}&watch=true&timeoutSeconds=1"), JSON, &Value::Null);
}

/// Made anew by server-side apply, which asks for `create` under the object's name.
fn may_create_the_crd_and_no_other(bed: &Bed) {
    for (name, expected) in
        [("network-attachment-definitions.k8s.cni.cncf.io", true), ("x.example.com", false)]
    {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"group": "apiextensions.k8s.io", "resource": "customresourcedefinitions",
                "verb": "create", "name": name}}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = bed.as_(Who::Cluster).call("POST", path, JSON, review.to_string().as_bytes()).unwrap();
        let allowed = answer.json().unwrap()["status"]["allowed"].as_bool().unwrap_or_default();
        assert_eq!(allowed, expected, "{name}: {}", message(&answer));
    }
}
